"""Let python-tuf read signed metadata from folders as it reads it from the centre: an httpx transport over files.

It answers GET for the names of a TUF repository and nothing else, and believes nothing: whoever asked verifies.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import httpx

from federation.trust import stick_layout as layout
from federation.trust.stick_disk import StickDisk

BASE_URL = "http://folder"
Reader: TypeAlias = Callable[[str], bytes | None]
_KEPT = ("timestamp.json", "snapshot.json", "targets.json")


class FolderTransport(httpx.BaseTransport):
    """The first of `readers` that has a file answers for it."""

    def __init__(self, *readers: Reader) -> None:
        self._readers = readers

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with a file of a TUF repository, or 404."""
        path = request.url.path.removeprefix("/")
        content = None
        if request.method == "GET" and _is_served(path):
            content = next((found for read in self._readers if (found := read(path)) is not None), None)
        return httpx.Response(404 if content is None else 200, stream=httpx.ByteStream(content or b""))


def stick_reader(disk: StickDisk) -> Reader:
    """Return what reads a TUF file of a stick."""
    return lambda path: disk.read(path, limit_bytes=layout.MAX_METADATA_BYTES)


def kept_reader(root: Path) -> Reader:
    """Return what reads the metadata that `TrustedReleases` keeps under `root`, by the names that a repository has.

    With it the kept metadata can be judged once more, at another time and without a link.
    """

    def read(path: str) -> bytes | None:
        role = path.rpartition("/")[2].lstrip("0123456789.")
        kept = root / "metadata" / role
        # Roots are kept by python-tuf under their numbers, and read by it before it asks.
        return kept.read_bytes() if path.startswith(layout.METADATA) and role in _KEPT and kept.is_file() else None

    return read


def folder_client(*readers: Reader) -> httpx.Client:
    """Return a client that finds a repository at `BASE_URL` in the files of `readers`."""
    return httpx.Client(transport=FolderTransport(*readers))


def _is_served(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if folder == layout.METADATA:
        return layout.is_metadata_name(name)
    digest = name.partition(".")[0]
    return layout.is_digest(digest) and path in (layout.index_path(digest), layout.program_index_path(digest))
