"""Which release runs here, and where its files lie: read from the disk alone, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federation.trust.release_bytes import index_read
from federation.wire.releases import ReleaseIndex
from node.installed.disk import release_path
from node.installed.state import slots_read

ADAPTER_NAME = "adapter.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveRelease:
    """What the engine loads: `package` is the base's directory, `adapter` the file on top of it or None."""

    digest: str
    index: ReleaseIndex
    package: Path
    adapter: Path | None


def active_release(*, root: Path) -> ActiveRelease | None:
    """Return the release that runs here, or None before the first one.

    Raises:
        ReleaseDamaged: its directory, or its base's, is not in order.
        StateUnreadable: `state.json` is not in order.
    """
    current = slots_read(root).current
    return release_open(root=root, digest=current) if current else None


def release_open(*, root: Path, digest: str) -> ActiveRelease:
    """Return the installed release `digest` in the form that the engine takes.

    Raises:
        ReleaseDamaged: its directory, or its base's, is not in order.
    """
    directory = release_path(root, digest)
    index = index_read(directory)
    if index.base is None:
        return ActiveRelease(digest=digest, index=index, package=directory, adapter=None)
    package = release_path(root, index.base)
    index_read(package)
    return ActiveRelease(digest=digest, index=index, package=package, adapter=directory / ADAPTER_NAME)
