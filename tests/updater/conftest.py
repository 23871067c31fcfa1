"""A PC with an installed program, newer programs that a real centre has signed, and no root and no systemd.

A program here is the node's own code as a wheel, altered as the test wants it, installed as root would install it. The
packages that it stands on are those of the tests, by PYTHONPATH: fetching and installing them anew would take minutes.
"""

import ensurepip
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from federation.trust.release_bytes import index_parse
from federation.trust.tuf_client import root_accept
from federation.wire.programs import LEARNING
from node.programs.place import ProgramPlace, python_tag, version_of
from node.programs.state import update_read
from node.updater.laying import program_lay
from node.updater.updating import Patience, Updater, link_replace
from tests.real_centre import real_centre
from tests.stations import does_answer, free_port

TREE = Path(__file__).resolve().parents[2]
PACKAGES = sysconfig.get_paths()["purelib"]
QUIET = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_", "PYTHON"))}
PATIENCE = Patience(page_seconds=90, serving_seconds=90, settle_seconds=0.5)
OLD = "0.1.0-old"


def now():
    return datetime.now(UTC)


def program_make(into: Path, changes: Mapping[str, bytes] = {}) -> Path:
    """Leave a program's files at `into`: this tree's code with `changes`."""
    from central.installers.own_wheel import own_wheel_write  # noqa: PLC0415 - the centre may be missing

    tree, wheels = into.with_name(f"{into.name}.tree"), into / "wheels"
    for package in ("federation", "node"):
        shutil.copytree(TREE / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, content in changes.items():
        (tree / name).write_bytes(content)
    wheels.mkdir(parents=True)
    own = own_wheel_write(wheels, tree=tree)
    shutil.copy(next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")), wheels)
    requirement = f"soro-schools=={own.version} --hash=sha256:{own.sha256}\n"
    (into / "requirements.txt").write_text(requirement, encoding="ascii")
    (into / "bin").mkdir()
    for name in ("soro", "soro-update"):
        shutil.copy(TREE / "central/installers/target" / name, into / "bin" / name)
    return into


class ProcessService:
    """The service, as a process of the test."""

    def __init__(self, place: ProgramPlace, data: Path, port: int) -> None:
        self.place, self.data, self.port = place, data, port
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        if self.process is None or self.process.poll() is not None:
            self.starts += 1
            argv = [str(self.place.current / "bin/soro"), "run", "--port", str(self.port)]
            with (self.data.parent / "service.log").open("ab") as log:
                self.process = subprocess.Popen(argv, env=environment(self.data), stdout=log, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
            self.process = None


def environment(data: Path) -> dict[str, str]:
    return QUIET | {"SORO_NODE_ROOT": str(data), "SORO_NODE_TRAINS_AT_NIGHT": "0", "PYTHONPATH": PACKAGES}


@dataclass
class Pc:
    """A school's PC at `root`, whose installed program is OLD."""

    root: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.place, self.data = ProgramPlace(opt=self.root / "opt"), self.root / "data"
        self.service = ProcessService(self.place, self.data, self.port)

    def soro(self, *arguments: str) -> str:
        """Return what a command of the installed program prints."""
        argv = [str(self.place.current / "bin/soro"), *arguments]
        ended = subprocess.run(argv, env=environment(self.data), capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def contact(self) -> dict[str, str]:
        """Hold a contact with the centre and return the steps that failed."""
        return json.loads(self.soro("sync", "--once", "--json"))["failures"]

    def update(self, **options) -> None:
        """Do as `soro-update` does."""
        Updater(
            place=self.place,
            data=self.data,
            port=self.port,
            service=self.service,
            clock=now,
            **{"patience": PATIENCE, **options},
        ).run()

    def version(self) -> str:
        return version_of(self.place.current)

    def state(self):
        return update_read(self.place.opt)


@pytest.fixture(scope="session")
def ministry(tmp_path_factory):
    """A real centre that has published OLD, offered to nobody."""
    pytest.importorskip("central", reason="programs are signed with the centre's code")
    with real_centre(tmp_path_factory.mktemp("ministry") / "centre") as centre:
        folder = program_make(tmp_path_factory.mktemp("programs") / "old")
        centre.ask("program_publish", version=OLD, folders={python_tag(): str(folder)})
        yield centre


@pytest.fixture(scope="session")
def installed(ministry, tmp_path_factory):
    """The folder of a PC on which OLD was installed, before it enrolled; copy it."""
    root = tmp_path_factory.mktemp("installed")
    place = ProgramPlace(opt=root / "opt")
    place.versions.mkdir(parents=True)
    index = index_parse(ministry.rows("SELECT index_bytes FROM programs_program WHERE version = ?", OLD)[0][0])
    programs = ministry.root / "blobs"
    fetched = root / "fetched"
    for entry in index.variants[0].files:
        (fetched / entry.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(programs / entry.sha256[:2] / entry.sha256, fetched / entry.path)
    version = program_lay(place=place, index=index, form=python_tag(), fetched=fetched, now=now())
    shutil.rmtree(fetched)
    link_replace(place.current, version.name)
    link_replace(place.updater, version.name)
    return root


@pytest.fixture
def pc(ministry, installed, tmp_path, monkeypatch):
    """An enrolled PC that runs OLD."""
    # Of what root starts, the new program is without the tests' packages.
    monkeypatch.setenv("PYTHONPATH", PACKAGES)
    root = Path(shutil.copytree(installed, tmp_path / "pc", symlinks=True))
    pc = Pc(root)
    (pc.data).mkdir()
    invitation = ministry.ask("invite", name=f"Мактаби {tmp_path.name}")
    pc.soro("enrol", "--sheet", ".".join(("SORO1", invitation["code"], invitation["root_sha256"], "", ministry.url)))
    metadata = (pc.data / "tuf" / "bootstrap.root.json").read_bytes()
    pc.place.trust.mkdir()
    root_accept(root=pc.place.trust, metadata=metadata, fingerprint=invitation["root_sha256"])
    pc.service.start()
    yield pc
    pc.service.stop()


def serves(pc):
    """Tell whether the page answers, which a program that was just started does in a while."""
    until = time.monotonic() + 90
    while not does_answer(f"http://127.0.0.1:{pc.port}/"):
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture
def offer(ministry, tmp_path):
    """Return what publishes a program with changes, offers it to all schools, and returns its version.

    With `learning`, files by their place, it has a form besides that brings these.
    """

    def publish(changes, learning=None):
        count = ministry.rows("SELECT count(*) FROM programs_program")[0][0]
        version = f"0.2.{count}-new"
        folder = program_make(tmp_path / version, changes)
        folders = {python_tag(): str(folder)}
        if learning is not None:
            fuller = folders[python_tag() + LEARNING] = str(tmp_path / f"{version}{LEARNING}")
            shutil.copytree(folder, fuller)
            for name, content in learning.items():
                (Path(fuller) / name).write_bytes(content)
        ministry.ask("program_publish", version=version, folders=folders)
        ministry.ask("program_offer", version=version)
        return version

    return publish
