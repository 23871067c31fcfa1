"""Where the program lies on this PC, beside the school's data: laid by an installation stick, and then by updates.

versions/NAME/   one version of the program, whole: its virtual environment, wheels, `bin`, manifest
current          a link to the version that runs
updater          a link to the last version that has proved itself: its code changes versions
update.json      how an update stands; written by root, read by everybody
tuf/             root's own trust in the centre's metadata
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from federation.trust.errors import ReleaseDamaged
from federation.trust.release_bytes import index_read, variant_read
from federation.wire.canonical import MalformedDocument, parse
from federation.wire.programs import LEARNING, is_learning

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    """Of all that an installation's manifest says, what an update needs."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramPlace:
    """The folder `opt`, which root alone may write."""

    opt: Path

    @property
    def versions(self) -> Path:
        """The folder of all versions."""
        return self.opt / "versions"

    @property
    def current(self) -> Path:
        """The link to the version that runs."""
        return self.opt / "current"

    @property
    def updater(self) -> Path:
        """The link to the version whose code changes versions."""
        return self.opt / "updater"

    @property
    def trust(self) -> Path:
        """Root's own TUF metadata."""
        return self.opt / "tuf"


def place_here(prefix: Path = Path(sys.prefix)) -> ProgramPlace | None:
    """Return the place of the program whose virtual environment is `prefix`; None where nobody installed it there.

    A program that runs from its source tree, or from an environment of somebody's own, is not updated.
    """
    version = prefix.resolve().parent
    is_laid = version.parent.name == "versions" and (version / MANIFEST).is_file()
    return ProgramPlace(opt=version.parents[1]) if is_laid else None


HERE = place_here()
"""Of the program that this process runs."""


def version_of(folder: Path) -> str:
    """Return the name of the program in the folder of a version; empty where it says none."""
    try:
        return parse(_Manifest, (folder / MANIFEST).read_bytes()).version
    except (OSError, MalformedDocument):
        return ""


def number_of(folder: Path) -> int:
    """Return the number under which the program in the folder of a version was published; 0 where it is not known."""
    try:
        return index_read(folder).version
    except ReleaseDamaged:
        return 0


def python_tag() -> str:
    """Return how this version of Python is called in the names of forms, such as `cp311`."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def form_for(folder: Path) -> str:
    """Return the form, for this Python, that may take the place of the program in the folder of a version.

    It is as lean, or as able to learn: only a person with a stick changes that.
    """
    return python_tag() + (LEARNING if is_learning(variant_read(folder)) else "")
