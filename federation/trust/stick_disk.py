"""The file system of a stick: read without believing it, written so that pulling it out costs one file at most.

Rules, in order: no name leaves the stick's own folder and no link is followed; only plain files are read, and never
more of them than asked for; a file appears whole under its name, flushed, or not at all; whatever the file system says,
the caller hears one of the stick's own errors.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from federation.errors import FederationError
from federation.trust import stick_layout as layout
from federation.trust.stick_errors import (
    LetterTooLong,
    StickCrowded,
    StickForbidden,
    StickFull,
    StickGone,
    StickUnknown,
)
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from federation.wire.courier import STICK_FORMAT, STICK_VERSION, StickMark

ResultT = TypeVar("ResultT")
TEMPORARY = ".tmp"
PIECE_BYTES = 1024 * 1024
_ABSENT = (FileNotFoundError, NotADirectoryError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_NO_PLAIN_FILE = (errno.ELOOP, errno.ENXIO)
"""A link, or a socket."""


class StickDisk:
    """The folder `soro` on the stick that is mounted at `place`; paths are relative to it, with slashes.

    Every method raises:
        StickGone: the stick stopped answering.
    """

    def __init__(self, place: Path) -> None:
        """Touch nothing yet."""
        self.place = place

    def open(self) -> None:
        """Return if the centre has prepared this stick.

        Raises:
            StickUnknown: it did not, or by rules that this program does not know.
        """
        self.expect_folder()
        content = self.read(layout.MARK, limit_bytes=layout.MAX_MARK_BYTES)
        if content is None:
            raise StickUnknown(place=str(self.place), problem="not_prepared")
        try:
            mark = parse(StickMark, content)
        except MalformedDocument as error:
            raise StickUnknown(place=str(self.place), problem="not_prepared") from error
        if (mark.format, mark.version) != (STICK_FORMAT, STICK_VERSION):
            raise StickUnknown(place=str(self.place), problem="other_version")

    def expect_folder(self) -> None:
        """Return if there is a folder that could be a stick's.

        Raises:
            StickUnknown: there is none.
        """
        if not self.place.is_dir():
            raise StickUnknown(place=str(self.place), problem="no_folder")

    def prepare(self) -> None:
        """Make the folder and its mark, so that `open` knows the stick.

        Raises:
            StickUnknown: there is no such folder to prepare.
            StickForbidden, StickFull: it cannot be written.
        """
        self.expect_folder()
        self.write(layout.MARK, [canonical_bytes(StickMark(format=STICK_FORMAT, version=STICK_VERSION))])

    def read(self, path: str, *, limit_bytes: int) -> bytes | None:
        """Return the content of a file, or None where there is no plain file.

        Raises:
            LetterTooLong: it is longer than `limit_bytes`.
        """

        def read() -> bytes | None:
            with self._opened(path) as handle:
                if handle is None:
                    return None
                if os.fstat(handle).st_size > limit_bytes:
                    raise LetterTooLong(limit_bytes=limit_bytes)
                return _read_exactly(handle, 0, limit_bytes)

        return self._asked(read)

    def read_range(self, path: str, start: int, length: int) -> bytes | None:
        """Return at most `length` bytes of a file from `start` on, or None where there is no plain file."""

        def read() -> bytes | None:
            with self._opened(path) as handle:
                return None if handle is None else _read_exactly(handle, start, length)

        return self._asked(read)

    def size_bytes(self, path: str) -> int | None:
        """Return how long a plain file is, or None where there is none."""

        def read() -> int | None:
            with self._opened(path) as handle:
                return None if handle is None else os.fstat(handle).st_size

        return self._asked(read)

    def names(self, folder: str, *, most: int = layout.MAX_FILES) -> tuple[str, ...]:
        """Return the names in a folder that a stick may have, in order; none where there is no such folder.

        Raises:
            StickCrowded: there are more than `most`.
        """

        def read() -> tuple[str, ...]:
            found = []
            with self._folder(folder) as handle:
                if handle is None:
                    return ()
                with os.scandir(handle) as entries:
                    for entry in entries:
                        if layout.is_name(entry.name) and not entry.name.endswith(TEMPORARY):
                            found.append(entry.name)
                        if len(found) > most:
                            raise StickCrowded(folder=folder, most=most)
            return tuple(sorted(found))

        return self._asked(read)

    def write(self, path: str, pieces: Iterable[bytes]) -> None:
        """Leave exactly `pieces` at `path`, on the medium itself, or what was there before.

        Raises:
            StickFull, StickForbidden: nothing has changed.
        """
        for _size_bytes in self.write_each([(path, pieces)]):
            pass

    def write_each(self, files: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[int]:
        """Write each file as `write` does and yield its length; the names are on the medium once all are written.

        A cut costs names of the last few files at most, which then hold what they held before: thousands of letters
        need not wait for the folder each.

        Raises:
            StickFull, StickForbidden: the file at hand is as it was.
        """
        folders = set()
        for path, pieces in files:
            folder, _, name = path.rpartition("/")
            folders.add(folder)
            yield self._asked(partial(self._write, folder, name, pieces))
        for folder in sorted(folders):
            self._asked(partial(self._folder_flush, folder))

    def _write(self, folder: str, name: str, pieces: Iterable[bytes]) -> int:
        with self._folder(folder, is_made=True) as handle:
            if handle is None or not layout.is_name(name):
                raise StickUnknown(place=str(self.place), problem="not_prepared")
            return self._file_write(handle, name, pieces)

    def _folder_flush(self, folder: str) -> None:
        with self._folder(folder) as handle:
            if handle is not None:
                _flush(handle)

    def remove(self, path: str) -> None:
        """Leave no file at `path`."""
        folder, _, name = path.rpartition("/")

        def remove() -> None:
            with self._folder(folder) as handle:
                if handle is not None and layout.is_name(name):
                    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                        os.unlink(name, dir_fd=handle)

        self._asked(remove)

    def free_bytes(self) -> int:
        """Return how much more the stick can hold."""

        def read() -> int:
            found = os.statvfs(self.place)
            return found.f_bavail * found.f_frsize

        return self._asked(read)

    def room_check(self, needed_bytes: int) -> None:
        """Return if the stick has room for `needed_bytes` more.

        Raises:
            StickFull: it has not.
        """
        free_bytes = self.free_bytes()
        if free_bytes < needed_bytes:
            raise StickFull(needed_bytes=needed_bytes, free_bytes=free_bytes)

    def written(self, handle: int, piece: bytes) -> None:
        """Write all of `piece`; the one place through which every byte of a file goes."""
        view = memoryview(piece)
        while view:
            view = view[os.write(handle, view) :]

    def _file_write(self, folder: int, name: str, pieces: Iterable[bytes]) -> int:
        temporary = name + TEMPORARY
        # A cut may have left one behind; made anew, so that nothing that lies there is written through.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
            try:
                for piece in pieces:
                    self.written(handle, piece)
                os.fsync(handle)
                size_bytes = os.fstat(handle).st_size
            finally:
                os.close(handle)
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except (OSError, FederationError):
            # The medium failed, or whoever has the pieces.
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        return size_bytes

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[int | None]:
        """Yield the open plain file at `path`, or None."""
        folder, _, name = path.rpartition("/")
        with self._folder(folder) as at:
            handle = None if at is None else _file_open(name, at)
            try:
                yield handle
            finally:
                if handle is not None:
                    os.close(handle)

    @contextlib.contextmanager
    def _folder(self, folder: str, *, is_made: bool = False) -> Iterator[int | None]:
        """Yield the open folder, walked to name by name so that no link is followed; None where there is none."""
        handle = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name in filter(None, (layout.FOLDER, *folder.split("/"))):
                inner = _folder_open(name, handle, is_made=is_made)
                if inner is None:
                    yield None
                    return
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _asked(self, call: Callable[[], ResultT]) -> ResultT:
        """Return what `call` returns; the one edge at which errors of the file system are sorted."""
        try:
            return call()
        except OSError as error:
            if error.errno in _FULL:
                raise StickFull(needed_bytes=layout.CLUSTER_BYTES, free_bytes=0) from error
            if error.errno in _FORBIDDEN:
                raise StickForbidden(place=str(self.place)) from error
            raise StickGone(place=str(self.place), problem=errno.errorcode.get(error.errno or 0, "")) from error


def _file_open(name: str, folder: int) -> int | None:
    if not layout.is_name(name):
        return None
    # Not to block: a named pipe would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(name, flags, dir_fd=folder)
    except _ABSENT:
        return None
    except OSError as error:
        if error.errno in _NO_PLAIN_FILE:
            return None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def _folder_open(name: str, folder: int, *, is_made: bool) -> int | None:
    if not layout.is_name(name):
        return None
    if is_made:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
            _flush(folder)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    except _ABSENT:
        return None
    except OSError as error:
        if error.errno in _NO_PLAIN_FILE:
            return None
        raise


def _read_exactly(handle: int, start: int, length: int) -> bytes:
    """Return the bytes from `start` on, `length` of them or up to the end, however the kernel cuts them."""
    pieces = []
    while length and (piece := os.pread(handle, min(PIECE_BYTES, length), start)):
        pieces.append(piece)
        start, length = start + len(piece), length - len(piece)
    return b"".join(pieces)


def _flush(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        # Some file systems in user space cannot flush a folder; the file itself was flushed.
        if error.errno != errno.EINVAL:
            raise
