"""Lay a version of the program beside the one that runs: verified files, a virtual environment made without a network.

Rules, in order:
1. A file counts once root's own copy of it has the digest that TUF vouches for; what it was copied from may change.
2. Only wheels are installed, each named with its hash in `requirements.txt`: nothing of a package runs meanwhile.
3. The folder appears whole and flushed under its name, by one rename.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from federation.trust.durable import durable_rename
from federation.trust.errors import DiskFull
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes, files_size_bytes
from federation.trust.release_bytes import INDEX_NAME, VARIANT_NAME, index_files
from federation.wire.canonical import canonical_bytes, to_plain
from federation.wire.releases import FileEntry, ReleaseIndex
from node.programs.errors import ProgramDamaged, ProgramNotLaid
from node.programs.place import MANIFEST, ProgramPlace
from node.updater.foreign_file import foreign_open

INCOMING = ".incoming"
COMPILED = 1.4
"""What Python compiles takes almost half as much again as what it was compiled from."""
_PIECE_BYTES = 1024 * 1024
_SAID = 300


def folder_of(index: ReleaseIndex, form: str) -> str:
    """Return the name of the folder of a version, which holds one form of it."""
    return f"{index.title}-{form}"


def program_lay(*, place: ProgramPlace, index: ReleaseIndex, form: str, fetched: Path, now: datetime) -> Path:
    """Return the folder of this form of the program, whole and flushed; `fetched` holds its files.

    Raises:
        ProgramDamaged: a file there is not the one that TUF vouches for.
        ProgramNotLaid: the virtual environment or the packages could not be made.
        DiskFull: there is no room for it.
        VariantUnknown: the program has no such form.
    """
    version, draft = place.versions / folder_of(index, form), place.versions / INCOMING
    if version.is_dir():
        if (version / INDEX_NAME).is_file() and (version / INDEX_NAME).read_bytes() == canonical_bytes(index):
            return version
        shutil.rmtree(version)
    shutil.rmtree(draft, ignore_errors=True)
    files = index_files(index, form)
    _room_check(place, files_size_bytes(files))
    for entry in files:
        _file_copy(fetched / entry.path, draft / entry.path, entry)
    _room_check(place, int(COMPILED * _unpacked_bytes(draft.glob("wheels/*.whl"))))
    _packages_install(draft)
    for program in (draft / "bin").glob("*"):
        program.chmod(0o755)
    (draft / INDEX_NAME).write_bytes(canonical_bytes(index))
    (draft / VARIANT_NAME).write_text(form, encoding="ascii")
    manifest = {"version": index.title, "made_at": to_plain(now)}
    (draft / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    os.sync()
    durable_rename(draft, version)
    return version


def versions_remove(*, place: ProgramPlace, keep: Iterable[Path]) -> None:
    """Leave only the versions `keep` and those that the links name."""
    wanted = {path.resolve() for path in (*keep, place.current, place.updater)}
    for path in place.versions.iterdir():
        if path.resolve() not in wanted:
            shutil.rmtree(path)


def _file_copy(source: Path, target: Path, entry: FileEntry) -> None:
    """Leave root's own copy at `target`; no more is read than the file may have."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        reader = foreign_open(source)
    except FileNotFoundError as error:
        # The director has named another program meanwhile, and the node has tidied up.
        raise ProgramNotLaid(problem=entry.path) from error
    except OSError as error:
        raise ProgramDamaged(path=entry.path) from error
    digest, left = hashlib.sha256(), entry.size_bytes
    with reader, target.open("wb") as writer:
        while piece := reader.read(min(_PIECE_BYTES, left)):
            digest.update(piece)
            writer.write(piece)
            left -= len(piece)
    if left or digest.hexdigest() != entry.sha256:
        raise ProgramDamaged(path=entry.path)


def _packages_install(draft: Path) -> None:
    # Debian's venv without pip needs no further package; pip itself comes as a wheel, and runs out of it.
    _run([sys.executable, "-I", "-m", "venv", "--without-pip", str(draft / "venv")])
    pip = next((draft / "wheels").glob("pip-*.whl"), None)
    if pip is None:
        raise ProgramDamaged(path="wheels/pip")
    options = ["--no-index", "--no-deps", "--only-binary=:all:", f"--find-links={draft / 'wheels'}", "--require-hashes"]
    options += ["--no-cache-dir", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    requirements = f"--requirement={draft / 'requirements.txt'}"
    _run([str(draft / "venv/bin/python"), "-I", str(pip / "pip"), "install", *options, requirements])


def _run(argv: list[str]) -> None:
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ProgramNotLaid(problem=(ended.stderr or ended.stdout).strip()[-_SAID:])


def _unpacked_bytes(wheels: Iterable[Path]) -> int:
    total = 0
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            total += sum(entry.file_size for entry in opened.infolist())
    return total


def _room_check(place: ProgramPlace, needed_bytes: int) -> None:
    needed_bytes, free_bytes = needed_bytes + RESERVE_BYTES, disk_free_bytes(place.versions)
    if free_bytes < needed_bytes:
        raise DiskFull(needed_bytes=needed_bytes, free_bytes=free_bytes)
