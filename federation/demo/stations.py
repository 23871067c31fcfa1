"""The centre and the schools of one demo: how each is started, asked and looked at."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from federation.demo.commands import SILENCE_SECONDS, CommandLine, LongRunning, wait_until
from federation.demo.link import Link
from federation.demo.options import Options, Pair
from federation.demo.school_page import SchoolPage

CHECKIN_SECONDS = 4
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person's account with its one-time password."""

    username: str
    password: str


NOBODY = Account(username="", password="")  # nosec B106 # nobody has none
"""Stands in until a station has made its account."""


class Station:
    """A place with a long-running command."""

    def __init__(self, commands: CommandLine) -> None:
        self.commands = commands
        self._running: LongRunning | None = None

    def run(self, ending: ExitStack, *arguments: str) -> None:
        """Start the station's `run` command, to be ended by `ending`."""
        self._running = self.commands.start("run", *arguments)
        ending.callback(self._running.stop)

    def wait(
        self,
        step: str,
        is_true: Callable[[], bool],
        *,
        what: str,
        signs: Callable[[], object] = lambda: None,
    ) -> None:
        """Return as soon as `is_true()`, while the station runs and `signs` show that it comes nearer."""
        if self._running is None:
            raise RuntimeError("the station was not started")
        wait_until(step, is_true, what=what, process=self._running, signs=signs)


class Centre(Station):
    """The embedded centre."""

    def __init__(self, options: Options) -> None:
        self.address = f"http://127.0.0.1:{options.ports.centre}"
        self.ports = options.ports
        environment = {
            "SORO_CENTRAL_BUILD_WORK": str(options.cache),
            "SORO_CENTRAL_CHECKIN_SECONDS": str(CHECKIN_SECONDS),
            "SORO_CENTRAL_TICK_SECONDS": "1",
        }
        super().__init__(CommandLine(project="central", root=options.root / "central", environment=environment))

    def start(self, step: str, ending: ExitStack) -> None:
        """Start it, to be ended by `ending`; return when it answers."""
        self.run(ending, "--port", str(self.ports.centre), "--fleet-port", str(self.ports.fleet))
        self.wait(step, self._is_healthy, what="the centre's answer")

    def admin_create(self, step: str, username: str) -> Account:
        """Return a new admin account."""
        made = self.commands.run_json(step, "admin_create", "--username", username)
        return Account(username=made["username"], password=made["password"])

    def follow(self, step: str, command: str, *arguments: str, on_line: Callable[[str], None]) -> dict[str, Any]:
        """Return what `command` tells at the end of what it follows; `on_line` gets each change.

        Raises:
            StepFailed: the command failed, or nothing has moved for too long.
        """
        return self.commands.run_json(
            step, command, *arguments, "--follow", on_line=on_line, silence_seconds=SILENCE_SECONDS
        )

    def _is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.address}/healthz", timeout=2.0).is_success
        except httpx.TransportError:
            return False


class School(Station):
    """One school: its link, its node's processes and its teacher."""

    def __init__(self, number: int, options: Options) -> None:
        self.number = number
        self.letter = LETTERS[number]
        self.name = f"Мактаби {self.letter}"
        self.pairs = [pair for n, pair in enumerate(options.pairs) if n % options.schools == number]
        self.page_port = options.ports.page(number)
        self.address = f"http://127.0.0.1:{self.page_port}"
        self.ports = options.ports
        root = options.root / f"school-{self.letter.lower()}"
        # By command only: the demo is to be the same by day and by night.
        environment = {"SORO_NODE_TRAINS_AT_NIGHT": "0"}
        super().__init__(CommandLine(project="node", root=root, environment=environment))
        self.links: list[Link] = []
        self.teacher = NOBODY

    def enrol(self, step: str, *, invitation: dict[str, Any], ending: ExitStack) -> None:
        """Lay the links and make the PC the school's node with the claim code."""
        ports = self.ports
        for port, target in ((ports.link(self.number), ports.centre), (ports.fleet_link(self.number), ports.fleet)):
            link = Link(port=port, target_port=target)
            ending.callback(link.close)
            self.links.append(link)
        central = f"http://127.0.0.1:{ports.link(self.number)}"
        fleet = f"127.0.0.1:{ports.fleet_link(self.number)}"
        claim = ("--code", invitation["code"], "--root-sha256", invitation["root_sha256"])
        self.commands.run_json(step, "enrol", "--central", central, *claim, "--fleet", fleet)
        made = self.commands.run_json(step, "account_create", "--username", "teacher", "--role", "teacher")
        self.teacher = Account(username=made["username"], password=made["password"])

    def start(self, ending: ExitStack) -> None:
        """Start the node, to be ended by `ending`."""
        self.run(ending, "--port", str(self.page_port))

    @property
    def bytes_total(self) -> int:
        """Bytes that passed this school's links, both ways."""
        return sum(link.bytes_total for link in self.links)

    def link_down(self) -> None:
        """Take the school off the network, in the middle of whatever is under way."""
        for link in self.links:
            link.down()

    def link_up(self) -> None:
        """Put the school back on the network."""
        for link in self.links:
            link.up()

    def wait_installed(self, step: str, digest: str) -> None:
        """Return when the release has been tested, tried and committed here."""
        self.wait(
            step,
            lambda: self._is_committed(digest),
            what=f"{self.name} to run the release",
            # Whole megabytes, because a school's contacts alone go on for ever.
            signs=lambda: (self.bytes_total // 1_000_000, self._slots()),
        )

    def contact(self, step: str) -> None:
        """Hold one contact with the centre now, whatever the node's own sync loop does."""
        self.commands.run_json(step, "sync", "--once")

    def page(self, step: str) -> SchoolPage:
        """Return a browser at the school's page, for a `with` statement."""
        return SchoolPage(self.address, step=step, log=self.commands.root / "logs")

    def probe(self, step: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
        """Return how the school's model answers each question and scores its reference answer."""
        path = self.commands.root / "probe.jsonl"
        lines = [json.dumps({"question": p.question, "reference": p.correction}, ensure_ascii=False) for p in pairs]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        outcomes: list[dict[str, Any]] = self.commands.run_json(step, "probe", "--file", str(path))["outcomes"]
        return outcomes

    def _is_committed(self, digest: str) -> bool:
        slots = self._slots()
        return slots.get("current") == digest and slots.get("phase") == "committed"

    def _slots(self) -> dict[str, Any]:
        return _json_read(self.commands.root / "state.json")


def _json_read(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
