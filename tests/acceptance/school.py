"""A school's PC in a network of its own, whose folder `root` is its whole disk as far as Soro goes.

It is made from an installation stick by the installer itself, with the units' own commands instead of systemd, and
without accounts of the system.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from federation.demo.commands import CommandLine, wait_until
from federation.demo.errors import StepFailed
from federation.demo.school_page import SchoolPage
from federation.demo.stations import NOBODY, Account
from tests.acceptance import systemctl
from tests.acceptance.networks import Link, Network

SETTLE_SECONDS = 5
"""Between two looks at a program that was started; at a school a minute."""


@dataclass(kw_only=True)
class SchoolPc:
    """A PC, its stick and, where there is one, its line to the centre."""

    name: str
    root: Path
    stick: Path
    network: Network
    link: Link | None
    flower: str = "supernode"
    teacher: Account = NOBODY
    answers: dict[str, str] = field(default_factory=dict)
    """The id of the answer to each question that was asked."""

    @property
    def data(self) -> Path:
        """The school's data."""
        return self.root / "var/lib/soro"

    @property
    def opt(self) -> Path:
        """The program in all its versions."""
        return self.root / "opt/soro"

    @property
    def commands(self) -> CommandLine:
        """`soro`, as the operator at the PC has it."""
        return CommandLine(
            project="node", root=self.data, environment={}, program=(str(self.opt / "current/bin/soro"),)
        )

    def install(self, step: str) -> str:
        """Make the PC a node from its stick, as a technician does; return what the installer said."""
        (self.root / "bin").mkdir(parents=True)
        stand_in = self.root / "bin/systemctl"
        stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -I {systemctl.__file__} "$@"\n')
        stand_in.chmod(0o755)
        (self.root / "etc/soro").mkdir(parents=True)
        # The installer leaves settings that are there; port 80 is free in a network of one's own.
        lines = ("SORO_PORT=80", "SORO_NODE_TRAINS_AT_NIGHT=0", f"SORO_NODE_FLOWER={self.flower}")
        (self.root / "etc/soro/environment").write_text("".join(f"{line}\n" for line in lines))
        return self._run(step, "sh", str(self.stick / "install"), "--prefix", str(self.root))

    def account_make(self, step: str) -> None:
        """Make the teacher's account."""
        made = self.ask("account_create", "--username", "teacher", "--role", "teacher", step=step)
        self.teacher = Account(username=made["username"], password=made["password"])

    def ask(self, *words: str, step: str) -> dict[str, Any]:
        """Return what a command at the PC answers."""
        with self.network.entered():
            return self.commands.run_json(step, *words)

    @contextmanager
    def page(self, step: str) -> Iterator[SchoolPage]:
        """Yield a teacher's browser at the PC's page."""
        with self.network.entered(), SchoolPage("http://127.0.0.1", step=step, log=self.data / "logs") as page:
            page.sign_in(self.teacher.username, self.teacher.password)
            yield page

    def update(self, step: str, *, serving_seconds: int) -> str:
        """Do what `soro-update.service` does, with this patience for a program to serve; return what it said."""
        patience = (f"--settle-seconds={SETTLE_SECONDS}", f"--serving-seconds={serving_seconds}")
        places = (f"--opt={self.opt}", f"--data={self.data}", "--port=80")
        return self._run(step, str(self.opt / "updater/bin/soro-update"), *places, *patience)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the PC's database."""
        with closing(sqlite3.connect(self.data / "node.sqlite3", timeout=30)) as database:
            return database.execute(query).fetchall()

    def read(self, name: str) -> dict[str, Any]:
        """Return what a file of JSON in the school's data says; nothing where it is not there."""
        try:
            content: dict[str, Any] = json.loads((self.data / name).read_bytes())
        except FileNotFoundError:
            return {}
        return content

    def wait(self, step: str, is_true: Any, *, what: str) -> None:
        """Return as soon as `is_true()`."""
        wait_until(step, is_true, what=f"{self.name}: {what}", log=self.data / "logs", signs=self._signs)

    @property
    def version(self) -> str:
        """The version of the program that runs."""
        return str(json.loads((self.opt / "current/manifest.json").read_bytes())["version"])

    def runs(self, digest: str) -> bool:
        """Tell whether this release is tested, tried and committed here."""
        slots = self.read("state.json")
        return (slots.get("current"), slots.get("phase")) == (digest, "committed")

    def _signs(self) -> object:
        return self.read("state.json"), self.link.bytes_total // 1_000_000 if self.link else 0

    def _run(self, step: str, *argv: str) -> str:
        # The stand-in for systemctl, and the Python for which the folder was made.
        path = os.pathsep.join((str(self.root / "bin"), str(Path(sys.base_prefix) / "bin"), os.environ["PATH"]))
        environment = os.environ | {"PATH": path, systemctl.FOLDER_VARIABLE: str(self.root)}
        with self.network.entered():
            ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        log = self.root / f"{Path(argv[0]).name}.log"
        with log.open("a", encoding="utf-8") as stream:
            stream.write(ended.stdout + ended.stderr)
        if ended.returncode:
            reason = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
            raise StepFailed(step=step, reason=f"{self.name}: {' '.join(reason)}", log=str(log))
        return ended.stdout + ended.stderr
