"""What schools send by stick: each PC's own folder of sealed files, written by it and read by the centre.

A PC's folder is replaced file by file, so that it always holds what the PC still waits to hear about. Names say only
where to look first; who wrote a file is told by the signature in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from federation.errors import FederationError
from federation.trust import stick_layout as layout
from federation.trust.keys import NodeKey, VerifyingKey
from federation.trust.sealing import OVERHEAD_BYTES, sealed, sealed_open
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import LetterUnreadable, StickGone

_ORDER = (layout.ENROLMENT, layout.CHECK_IN, layout.PARCELS, layout.UPDATE)
_PACKING_BYTES = 64 * 1024
"""What sealing may add to content that does not compress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentFile:
    """One thing that a PC sends: `content` is the signed bytes that would go by link."""

    kind: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedFile:
    """One thing found on a stick: its opened content, or why there is none."""

    sender: str
    """The key id that its folder is named after; nobody has vouched for it."""
    kind: str
    content: bytes
    problem: FederationError | None


class ReturnsSource(Protocol):
    """Something that holds what schools send, laid out as on a stick."""

    def names(self, folder: str, *, most: int) -> tuple[str, ...]:
        """Return the names in a folder, in order; none where there is no such folder."""

    def read(self, path: str, *, limit_bytes: int) -> bytes | None:
        """Return the content of a file, or None; refuse one that is longer."""


def returns_write(*, disk: StickDisk, sender: str, files: Sequence[SentFile], reader: VerifyingKey) -> int:
    """Leave exactly `files` in the folder of the PC whose key id is `sender`; return how many bytes they take.

    Raises:
        StickFull: there is no room; nothing was begun.
        StickForbidden, StickGone: as StickDisk.
    """
    folder = layout.return_folder(sender)
    named = [(f"{folder}/{name}", each) for name, each in _named(files)]
    written = [(path, sealed(each.content, kind=each.kind, reader=reader)) for path, each in named]
    disk.room_check(sum(layout.occupied_bytes(len(content)) for _path, content in written))
    written_bytes = sum(disk.write_each((path, [content]) for path, content in written))
    kept = {path for path, _content in written}
    for name in disk.names(folder):
        if f"{folder}/{name}" not in kept:
            disk.remove(f"{folder}/{name}")
    return written_bytes


def returns_read(*, source: ReturnsSource, keys: Sequence[NodeKey]) -> Iterator[ReturnedFile]:
    """Yield each file of each PC, a PC's request to enrol first and its updates last; any of `keys` may open it.

    Raises:
        StickGone: the stick was pulled out.
        StickCrowded: a folder has more entries than any stick needs.
    """
    for sender in senders(source):
        folder = layout.return_folder(sender)
        names = source.names(folder, most=layout.MAX_FILES)
        kinds = [(_ORDER.index(kind), name, kind) for name in names if (kind := layout.return_kind(name))]
        for _place, name, kind in sorted(kinds):
            yield _returned(source, f"{folder}/{name}", sender, kind, keys)


def senders(source: ReturnsSource) -> tuple[str, ...]:
    """Return the key ids of the PCs that have a folder."""
    found = [
        name
        for fan in source.names(layout.RETURNS, most=layout.MAX_FILES)
        for name in source.names(f"{layout.RETURNS}/{fan}", most=layout.MAX_SCHOOLS)
        if layout.is_digest(name) and name.startswith(fan)
    ]
    return tuple(found)


def _named(files: Sequence[SentFile]) -> Iterator[tuple[str, SentFile]]:
    numbers = dict.fromkeys(_ORDER, 0)
    for each in files:
        numbers[each.kind] += 1
        is_one = each.kind in (layout.ENROLMENT, layout.CHECK_IN)
        yield layout.return_name(each.kind, None if is_one else numbers[each.kind]), each


def _returned(source: ReturnsSource, path: str, sender: str, kind: str, keys: Sequence[NodeKey]) -> ReturnedFile:
    limit_bytes, content, problem = layout.return_limit_bytes(kind), b"", None
    try:
        held = source.read(path, limit_bytes=limit_bytes + OVERHEAD_BYTES + _PACKING_BYTES) or b""
        content = _opened(held, kind, keys, limit_bytes)
    except StickGone:
        raise
    except FederationError as error:
        problem = error
    return ReturnedFile(sender=sender, kind=kind, content=content, problem=problem)


def _opened(held: bytes, kind: str, keys: Sequence[NodeKey], limit_bytes: int) -> bytes:
    for key in keys[:-1]:
        try:
            return sealed_open(held, kind=kind, key=key, limit_bytes=limit_bytes)
        except LetterUnreadable:
            continue
    return sealed_open(held, kind=kind, key=keys[-1], limit_bytes=limit_bytes)
