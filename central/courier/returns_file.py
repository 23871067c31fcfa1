"""What came back on a stick, wherever it is: a mounted folder, or one ZIP file of it that was sent to the centre.

A ZIP file is never unpacked: a name in it that is not one of a stick's own is not there, and a member is read into
memory up to the length that such a file may have.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from federation.trust import stick_layout as layout
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import LetterTooLong, LetterUnreadable, StickCrowded, StickUnknown
from federation.trust.stick_returns import ReturnsSource

MAX_MEMBERS = 200_000


@contextmanager
def returns_open(place: Path) -> Iterator[ReturnsSource]:
    """Yield what lies at `place`, a mounted stick or a ZIP file.

    Raises:
        StickUnknown: neither.
        StickCrowded: the ZIP file has more members than any stick needs.
    """
    if place.is_file():
        with place.open("rb") as stream, returns_unzip(stream) as source:
            yield source
    else:
        disk = StickDisk(place)
        disk.open()
        yield disk


@contextmanager
def returns_unzip(stream: BinaryIO) -> Iterator[ReturnsSource]:
    """Yield what the ZIP file `stream` holds of a stick, whichever folder it was packed from.

    Raises:
        StickUnknown: it is no ZIP file.
        StickCrowded: it has more members than any stick needs.
    """
    try:
        with zipfile.ZipFile(stream) as packed:
            yield _ZipReturns(packed)
    except zipfile.BadZipFile as error:
        raise StickUnknown(place="ZIP", problem="not_a_zip") from error


class _ZipReturns:
    def __init__(self, packed: zipfile.ZipFile) -> None:
        members = packed.infolist()
        if len(members) > MAX_MEMBERS:
            raise StickCrowded(folder="ZIP", most=MAX_MEMBERS)
        self._packed = packed
        self._members = {path: member for member in members if (path := _path_on_stick(member.filename))}
        self._folders: dict[str, set[str]] = {}
        for path in self._members:
            words = path.split("/")
            for depth in range(1, len(words)):
                self._folders.setdefault("/".join(words[:depth]), set()).add(words[depth])

    def names(self, folder: str, *, most: int) -> tuple[str, ...]:
        found = self._folders.get(folder, set())
        if len(found) > most:
            raise StickCrowded(folder=folder, most=most)
        return tuple(sorted(found))

    def read(self, path: str, *, limit_bytes: int) -> bytes | None:
        member = self._members.get(path)
        if member is None:
            return None
        try:
            with self._packed.open(member) as stream:
                content = stream.read(limit_bytes + 1)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            # Damaged, encrypted, or packed in a way that nobody needs.
            raise LetterUnreadable(kind=path.rpartition("/")[2]) from error
        if len(content) > limit_bytes:
            raise LetterTooLong(limit_bytes=limit_bytes)
        return content


def _path_on_stick(name: str) -> str | None:
    """Return the path within the stick's own folder, or None for a name that no stick has."""
    _before, folder, path = f"/{name}".partition(f"/{layout.FOLDER}/")
    is_ours = folder and path.startswith(f"{layout.RETURNS}/") and all(map(layout.is_name, path.split("/")))
    return path if is_ours else None
