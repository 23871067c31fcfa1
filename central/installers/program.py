"""All that a program consists of: the packages of the lock, the node's own code, and what starts them.

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
from central.installers.wheels import lock_read, wheels_fetch

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
    requirements: str
    unpacked_bytes: int
    """What the largest of its forms takes on a PC's disk."""

    @property
    def wheels(self) -> list[Path]:
        """Every wheel once, by name."""
        named = {path.name: path for paths in self.packages.values() for path in paths}
        named[self.own.path.name] = self.own.path
        return [named[name] for name in sorted(named)]


def program_gather(
    *,
    pythons: Sequence[str],
    kept: Path,
    scratch: Path,
    progress: Progress = lambda _step, _done, _total: None,
) -> GatheredProgram:
    """Return the program of this centre; packages lie under `kept` then, the own wheel in the folder `scratch`.

    Raises:
        WheelsUnavailable: packages do not lie there yet, and no index has them.
        NodeCodeMissing: this centre has no code for nodes.
    """
    own = own_wheel_write(scratch)
    packages = {}
    for number, python in enumerate(pythons):
        progress("packages", number, len(pythons))
        packages[python] = wheels_fetch(python=python, kept=kept)
    requirements = f"{lock_read()}{DISTRIBUTION}=={own.version} \\\n    --hash=sha256:{own.sha256}\n"
    digest = hashlib.sha256(requirements.encode()).hexdigest()
    largest = max(sum(map(_unpacked_bytes, paths)) for paths in packages.values())
    return GatheredProgram(
        version=f"{own.version}-{digest[:12]}",
        own=own,
        packages=packages,
        requirements=requirements,
        unpacked_bytes=int(COMPILED * (largest + _unpacked_bytes(own.path))),
    )


def program_folders(*, program: GatheredProgram, into: Path) -> dict[str, Path]:
    """Return, by the tag of each Python, the folder under `into` that holds exactly the files of the program for it."""
    folders = {}
    for python, packages in program.packages.items():
        tag = f"cp{python.replace('.', '')}"
        folder = folders[tag] = into / tag
        (folder / "wheels").mkdir(parents=True)
        for wheel in (*packages, program.own.path):
            shutil.copyfile(wheel, folder / "wheels" / wheel.name)
        (folder / "requirements.txt").write_text(program.requirements, encoding="ascii")
        (folder / "bin").mkdir()
        for name in ("soro", "soro-update"):
            shutil.copyfile(TARGET / name, folder / "bin" / name)
    return folders


def _unpacked_bytes(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as opened:
        return sum(entry.file_size for entry in opened.infolist())
