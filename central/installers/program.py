"""All that a program consists of: the packages of the locks, the node's own code, and what starts them.

For each Python it has two forms, a lean one and, where there is a CPU build of torch, one that brings besides what
learning takes (`federation.wire.programs`). The version names both, whichever of them is taken along.

An installation stick carries it, and a published program is the same files, by which an update is the same program.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from central.installers.own_wheel import DISTRIBUTION, OwnWheel, own_wheel_write
from central.installers.wheels import (
    PYTHONS,
    can_learn,
    learning_lock,
    learning_wheels_fetch,
    lock_read,
    tag_of,
    wheels_fetch,
)
from federation.wire.programs import LEARNING

TARGET = Path(__file__).parent / "target"
COMPILED = 1.4
"""What Python compiles takes almost half as much again as what it was compiled from."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredProgram:
    """A program for one or several versions of Python; its name is a digest of all that it names."""

    version: str
    own: OwnWheel
    packages: Mapping[str, Sequence[Path]]
    """The wheels of the lock by the version of Python, such as `3.11`."""
    learning: Mapping[str, Sequence[Path]]
    """Those that learning takes besides; of no Python where the program is gathered lean."""
    unpacked_bytes: int
    """What the largest of its lean forms takes on a PC's disk."""
    learning_bytes: int
    """What learning takes there besides, with its wheels, which stay for updates."""

    @property
    def wheels(self) -> list[Path]:
        """Every wheel once, by name."""
        every = (*self.packages.values(), *self.learning.values())
        named = {path.name: path for paths in every for path in paths}
        named[self.own.path.name] = self.own.path
        return [named[name] for name in sorted(named)]

    @property
    def requirements(self) -> Mapping[str, str]:
        """What pip installs, by the ending of the form: the lean one's, and that of each Python that can learn."""
        lean = f"{lock_read()}{DISTRIBUTION}=={self.own.version} \\\n    --hash=sha256:{self.own.sha256}\n"
        learning = {
            f"{tag_of(python)}{LEARNING}": lean + lock_read(learning_lock(python)) for python in sorted(self.learning)
        }
        return {"": lean, **learning}


def program_gather(
    *,
    pythons: Sequence[str],
    kept: Path,
    scratch: Path,
    is_lean: bool = False,
    progress: Progress = lambda _step, _done, _total: None,
) -> GatheredProgram:
    """Return the program of this centre; packages lie under `kept` then, the own wheel in the folder `scratch`.

    One that `is_lean` comes without what learning takes.

    Raises:
        WheelsUnavailable: packages do not lie there yet, and no index has them.
        NodeCodeMissing: this centre has no code for nodes.
    """
    own = own_wheel_write(scratch)
    packages, learning = {}, {}
    for number, python in enumerate(pythons):
        progress("packages", number, len(pythons))
        packages[python] = wheels_fetch(python=python, kept=kept)
        if can_learn(python) and not is_lean:
            learning[python] = learning_wheels_fetch(python=python, kept=kept)
    largest = max(sum(map(_unpacked_bytes, paths)) for paths in packages.values())
    besides = [sum(map(_disk_bytes, paths)) for paths in learning.values()]
    return GatheredProgram(
        version=f"{own.version}-{_version_digest(own)[:12]}",
        own=own,
        packages=packages,
        learning=learning,
        unpacked_bytes=int(COMPILED * (largest + _unpacked_bytes(own.path))),
        learning_bytes=max(besides, default=0),
    )


def program_folders(*, program: GatheredProgram, into: Path) -> dict[str, Path]:
    """Return, by the name of each form, the folder under `into` that holds exactly its files."""
    folders = {}
    for python, packages in program.packages.items():
        folders[tag_of(python)] = _folder_make(program, "", packages, into / tag_of(python))
    for python, besides in program.learning.items():
        form = f"{tag_of(python)}{LEARNING}"
        folders[form] = _folder_make(program, form, (*program.packages[python], *besides), into / form)
    return folders


def _folder_make(program: GatheredProgram, form: str, packages: Sequence[Path], folder: Path) -> Path:
    (folder / "wheels").mkdir(parents=True)
    for wheel in (*packages, program.own.path):
        # Publishing reads them and no more, and learning takes 270 MB of them.
        (folder / "wheels" / wheel.name).symlink_to(wheel.resolve())
    (folder / "requirements.txt").write_text(program.requirements[form], encoding="ascii")
    (folder / "bin").mkdir()
    for name in ("soro", "soro-update"):
        shutil.copyfile(TARGET / name, folder / "bin" / name)
    return folder


def _version_digest(own: OwnWheel) -> str:
    locks = [lock_read(), *(lock_read(learning_lock(python)) for python in PYTHONS if can_learn(python))]
    return hashlib.sha256("".join((*locks, own.sha256)).encode()).hexdigest()


def _disk_bytes(wheel: Path) -> int:
    return int(COMPILED * _unpacked_bytes(wheel)) + wheel.stat().st_size


def _unpacked_bytes(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as opened:
        return sum(entry.file_size for entry in opened.infolist())
