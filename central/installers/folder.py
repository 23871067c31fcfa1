"""Writes the plain files of an installation stick; what a courier's stick has too is `federation.trust.stick_writer`'s.

A file appears whole under its name, flushed, or not at all, and one that lies there already is not written again. No
modes are asked for: FAT has none, and refuses them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from central.installers.wheels import file_sha256
from federation.trust import stick_layout as layout
from federation.trust.stick_errors import StickForbidden, StickFull, StickGone

MANIFEST, CODE, INSTALL, WHEELS = "manifest.json", "code.txt", "install", "wheels"
PROGRAM = "program.json"
"""The index under which the program was published, where it was."""
PIECE_BYTES = 1024 * 1024
_CARRIED = ("tuf", "blobs")
"""Of the stick's own folder; letters and returns come and go."""


@contextmanager
def stick_errors(place: Path) -> Iterator[None]:
    """Sort errors of the stick's file system into the stick's own."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StickFull(needed_bytes=layout.CLUSTER_BYTES, free_bytes=0) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StickForbidden(place=str(place)) from error
        raise StickGone(place=str(place), problem=errno.errorcode.get(error.errno or 0, "")) from error


def file_put(path: Path, content: bytes, *, is_program: bool = False) -> None:
    """Leave `content` at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.tmp")
    with draft.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    if is_program:
        with contextlib.suppress(PermissionError):
            draft.chmod(0o755)
    draft.replace(path)


def file_copy(source: Path, target: Path) -> None:
    """Leave a copy of the file `source` at `target`."""
    is_of_size = target.is_file() and target.stat().st_size == source.stat().st_size
    if is_of_size and file_sha256(target) == file_sha256(source):
        return
    file_put(target, source.read_bytes())


def requirements_lay(place: Path, requirements: Mapping[str, str]) -> None:
    """Leave exactly these lists for pip on the stick, by the name of each form that is not lean."""
    names = {f"requirements{form and '-'}{form}.txt": content for form, content in requirements.items()}
    for path in place.glob("requirements*.txt"):
        if path.name not in names:
            path.unlink()
    for name, content in names.items():
        file_put(place / name, content.encode())


def wheels_lay(place: Path, wheels: list[Path]) -> None:
    """Leave exactly `wheels` in the stick's folder of wheels."""
    folder = place / WHEELS
    folder.mkdir(parents=True, exist_ok=True)
    names = {wheel.name for wheel in wheels}
    for path in list(folder.iterdir()):
        if path.name not in names:
            path.unlink()
    for wheel in wheels:
        file_copy(wheel, folder / wheel.name)


def wheels_missing_bytes(place: Path, wheels: list[Path]) -> int:
    """Return how much more of the stick `wheels` take."""
    sizes = {wheel.name: wheel.stat().st_size for wheel in wheels}
    held = {path.name: path.stat().st_size for path in (place / WHEELS).glob("*")}
    return sum(layout.occupied_bytes(size) for name, size in sizes.items() if held.get(name) != size)


def files_digest(place: Path) -> dict[str, str]:
    """Return the SHA-256 of every file that an installation uses, by its path on the stick."""
    folder = place / layout.FOLDER
    paths = [place / INSTALL, *place.glob("requirements*.txt"), folder / layout.MARK, folder / layout.FIRST_RELEASE]
    paths += [place / PROGRAM] if (place / PROGRAM).is_file() else []
    for part in (place / WHEELS, *(folder / name for name in _CARRIED)):
        paths += [path for path in part.rglob("*") if path.is_file()]
    return {path.relative_to(place).as_posix(): file_sha256(path) for path in sorted(paths)}
