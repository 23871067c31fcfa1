"""A stick as one ZIP file that streams: for an admin whose browser is elsewhere, to be unpacked on a stick there.

Nothing is packed tighter: models hardly compress, and letters are sealed. No more than a piece is ever in memory.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from federation.trust.stick_blobs import BlobReader
from federation.trust.stick_layout import FOLDER
from federation.trust.stick_writer import StickContent, stick_files


class _Sink(io.RawIOBase):
    """Takes what the ZIP writer writes, and gives it away; it cannot go back, so the writer never asks it to."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: object) -> int:
        content = memoryview(piece)  # type: ignore[arg-type]
        self._held += content
        return len(content)

    def taken(self) -> bytes:
        held, self._held = bytes(self._held), bytearray()
        return held


def stick_zip(*, content: StickContent, read: BlobReader) -> Iterator[bytes]:
    """Yield the ZIP file of a whole stick in pieces."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as packed:
        for path, pieces in stick_files(content=content, read=read):
            with packed.open(zipfile.ZipInfo(f"{FOLDER}/{path}"), "w", force_zip64=True) as member:
                for piece in pieces:
                    member.write(piece)
                    yield sink.taken()
    yield sink.taken()
