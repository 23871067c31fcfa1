"""A real centre with a release that an engine can load, and installation sticks that its own command wrote."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real_centre import RealCentre, real_centre
from tests.stations import EMBEDDED

TREE = Path(__file__).resolve().parents[2]
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
PACKAGES = TREE / "var/packages"
"""Fetched once: 345 MB."""
SCHOOL = "Мактаби №1"
SCHOOL_AS_ROOT = "Мактаби №4"
QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_", "PYTHON"))}


@dataclass(frozen=True)
class Ministry:
    """A running centre, and its command line."""

    centre: RealCentre
    release: str

    def command(self, *arguments: str, address: str = "") -> subprocess.CompletedProcess[str]:
        settings = {"SORO_CENTRAL_ROOT": str(self.centre.root), "SORO_CENTRAL_ADDRESS": address or self.centre.url}
        return subprocess.run(
            [sys.executable, str(TREE / "manage.py"), "central", *arguments],
            env=QUIET | EMBEDDED | settings | {"PYTHONPATH": str(TREE)},
            cwd=TREE,
            capture_output=True,
            text=True,
            check=False,
        )

    def stick(
        self,
        place: Path,
        *,
        school: str = SCHOOL,
        options: tuple[str, ...] = (),
        address: str = "",
        is_lean: bool = True,
    ) -> dict[str, object]:
        """Return what the command says of the stick that it has written at `place`; lean, for the tests' minutes."""
        place.mkdir(parents=True, exist_ok=True)
        options = (*options, *(["--lean"] if is_lean else []))
        arguments = ("installer", "build", "--json", "--python", PYTHON, "--school", school, *options, str(place))
        made = self.command(*arguments, address=address)
        assert made.returncode == 0, made.stderr
        return json.loads(made.stdout)


@pytest.fixture(scope="session")
def ministry(tmp_path_factory):
    pytest.importorskip("central", reason="sticks are made with the centre's code")
    from central.installers.wheels import learning_wheels_fetch, wheels_fetch  # noqa: PLC0415 - the centre may be missing
    from tests.learning.tiny_package import tiny_package  # noqa: PLC0415 - needs torch

    # Room for the prompts of the self-test.
    package = tiny_package(tmp_path_factory.mktemp("package"), context_tokens=1024)
    for fetch in (wheels_fetch, learning_wheels_fetch):
        fetch(python=PYTHON, kept=PACKAGES)
    with real_centre(tmp_path_factory.mktemp("ministry") / "centre") as centre:
        shutil.copytree(PACKAGES, centre.root / "installers")
        for number in range(1, 9):
            centre.ask("school", name=f"Мактаби №{number}")
        ministry = Ministry(centre=centre, release=centre.ask("sign", folder=str(package))["digest"])
        published = ministry.command("program", "publish", "--python", PYTHON)
        assert published.returncode == 0, published.stderr
        yield ministry


@pytest.fixture(scope="session")
def written(ministry, tmp_path_factory):
    """A stick as it comes from the ministry, and what the command said of it; copy it before using it up."""
    place = tmp_path_factory.mktemp("stick") / "SORO"
    return place, ministry.stick(place)


@pytest.fixture
def stick(written, tmp_path):
    return Path(shutil.copytree(written[0], tmp_path / "SORO"))


def install(stick: Path, prefix: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Return how the installer ended, as a technician starts it, under a root of its own."""
    return subprocess.run(install_argv(stick, prefix, *options), env=QUIET, capture_output=True, text=True, check=False)


def install_argv(stick: Path, prefix: Path, *options: str) -> list[str]:
    return ["sh", str(stick / "install"), "--no-systemd", "--prefix", str(prefix), *options]


def everything(folder: Path) -> dict[str, object]:
    """Return each path below `folder` with what lies there, to compare before and after."""
    return {
        str(path.relative_to(folder)): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }
