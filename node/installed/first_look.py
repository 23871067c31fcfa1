"""Look at a package before it is fetched, so that a slow link does not carry for days what this PC cannot run.

Its size stands in the signed index. Its card is one small file, which is asked for first and comes again with the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from federation.errors import TransportError
from federation.inference.package import CARD, FORMAT
from federation.trust.blob_sources import BlobSource
from federation.trust.release_bytes import index_digest
from federation.wire.canonical import sha256_hex
from federation.wire.releases import FileEntry, ReleaseIndex
from node.installed.disk import release_path
from node.installed.fit import package_fit

MAX_CARD_BYTES = 64 * 1024


def package_check(
    *,
    root: Path,
    package: ReleaseIndex,
    source: BlobSource,
    peers: Sequence[BlobSource] = (),
    memory_available: Callable[[Path], int],
) -> None:
    """Return if this PC can run the base release `package`; one that is on the disk was judged when it came.

    Its card is taken from the first of `peers` that has it, else from `source`.

    Raises:
        EngineTooOld, MemoryTooSmall: it cannot.
        TransportError: the card did not come; try later.
    """
    if release_path(root, index_digest(package)).is_dir():
        return
    package_fit(
        card_format=_card_format(package, source, peers),
        weights_bytes=package_bytes(package),
        memory_available_bytes=memory_available(root),
        engine_format=FORMAT,
    )


def package_bytes(package: ReleaseIndex) -> int:
    """Return how large all files of the release are together."""
    return sum(entry.size_bytes for entry in package.files)


def _card_format(package: ReleaseIndex, source: BlobSource, peers: Sequence[BlobSource]) -> int | None:
    """Return the format that the package's card names; None where the card is none, or is not the one of the index.

    What is wrong with it then is found and named by the fetch or the self-test.
    """
    entry = next((entry for entry in package.files if entry.path == CARD), None)
    if entry is None or entry.size_bytes > MAX_CARD_BYTES:
        return None
    content = _card(entry, source, peers)
    if sha256_hex(content) != entry.sha256:
        return None
    try:
        named = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        return None
    return named if isinstance(named, int) else None


def _card(entry: FileEntry, source: BlobSource, peers: Sequence[BlobSource]) -> bytes:
    for peer in peers:
        with contextlib.suppress(TransportError):
            content = _read(entry, peer)
            if sha256_hex(content) == entry.sha256:
                return content
    return _read(entry, source)


def _read(entry: FileEntry, source: BlobSource) -> bytes:
    content = b""
    for piece in source.read_range(entry.sha256, 0, entry.size_bytes):
        content += piece
        if len(content) >= entry.size_bytes:
            break
    return content
