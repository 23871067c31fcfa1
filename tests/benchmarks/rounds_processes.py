"""Part `processes`: one round with real processes and real training, in which everything goes wrong that may.

Six schools on the 270M stand-in, links up 2 minutes in 10. One is killed in training, one in its upload, one has a
clock an hour fast, one trades by USB stick only, one hands in its update turned round and a hundred times as long,
clipped to what the wire allows. The SuperLink and the worker are killed once. A robust round must close all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from federation.demo.journey import Journey
from federation.demo.options import Options, Pair, Ports
from federation.demo.progress import Journal
from federation.demo.stations import School
from federation.learning.update import update_read, update_write
from federation.trust.keys import node_key_load
from federation.wire.canonical import parse, sha256_hex
from federation.wire.rounds import Factor, RoundPlan
from tests.benchmarks.labels.label_set import labels_read
from tests.benchmarks.report import BENCH_ROOT, Row, row
from tests.benchmarks.school_link import Schedule
from tests.real_superlink import pids_with

SCHOOLS, HONEST, PAIRS_A_SCHOOL = 6, 5, 2
PLAIN, CUT_TRAINING, CUT_UPLOAD, FAST_CLOCK, STICK, POISONED = range(SCHOOLS)
LINK = Schedule(up_seconds=120.0, of_seconds=600.0)
ROUND_SECONDS = 3600.0
_CLOCK = """
import datetime as _module, time as _time
_AHEAD = 3600.0
_now = _time.time
_time.time = lambda: _now() + _AHEAD
class _Fast(_module.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(_time.time(), tz)
_module.datetime = _Fast
"""


def measure(*, work: Path) -> list[Row]:
    """Return what came of the round."""
    shutil.rmtree(work / "run", ignore_errors=True)
    (work / "run").mkdir(parents=True)
    options = Options(
        root=(work / "run").resolve(),
        cache=(BENCH_ROOT / "rounds" / "builds").resolve(),
        pairs=_pairs(),
        schools=SCHOOLS,
        checkpoint=None,
        ports=Ports(base=24500),
        keep=False,
    )
    with ExitStack() as ending:
        rehearsal = Rehearsal(options=options, journal=Journal(console=Console(stderr=True)), ending=ending)
        return rehearsal.play()


class Rehearsal(Journey):
    """The demo's stations, played for one round."""

    def play(self) -> list[Row]:
        """Return the rows."""
        self._centre_start()
        base = self._release_build()["digest"]
        self._schools_start(base)
        self._corrections_make()
        opening = ("--wanted", str(HONEST), "--least-days", "0", "--mode", "robust")
        season = self.centre.commands.run_json("season", "season_open", "--base", base, *opening)
        plan_id = str(season["plans"][0]["plan_id"])
        self._plans_bring()
        for school in self.schools:
            # Else whoever learns first hands in at once, and the round is over before the poison comes.
            school.link_down()
        began = time.monotonic()
        for school in self.schools:
            self._train(school, plan_id)
        self._poison(self.schools[POISONED])
        with self._links_come_and_go():
            killed: list[str] = []
            for kill in (self._kill_in_upload, self._kill_centre):
                threading.Thread(target=kill, args=(killed,), daemon=True).start()
            self._stick_take()
            closed = self._wait_closed(str(season["season_id"]))
        return self._rows(closed, time.monotonic() - began, kills=len(killed))

    def _plans_bring(self) -> None:
        for school in self.schools:
            if school.number != STICK:
                school.contact("plan")
        stick = self.schools[STICK]
        stick.link_down()
        folder = self._stick_folder()
        self.centre.commands.run("plan", "bundle", "export", str(folder), "--school", stick.name)
        stick.commands.run("plan", "bundle", "import", str(folder))

    def _train(self, school: School, plan_id: str) -> None:
        if school.number == CUT_TRAINING:
            training = school.commands.start("train", "--plan", plan_id)
            time.sleep(20)
            os.killpg(training.child.pid, signal.SIGKILL)
            training.child.wait()
        school.commands.run_json("training", "train", "--plan", plan_id)

    def _poison(self, school: School) -> None:
        root = school.commands.root
        (path,) = (root / "rounds" / "outbox").glob("*.update")
        plan = parse(RoundPlan, next(root.glob("rounds/*/plan.json")).read_bytes())
        header, arrays = update_read(path.read_bytes(), precision=plan.precision)
        learnt = {name: -100.0 * array for name, array in arrays.items() if name[1] is not Factor.GRAM}
        length = float(np.sqrt(sum(float(np.sum(array**2)) for array in learnt.values())))
        share = min(1.0, plan.max_norm / length)
        turned = {name: (learnt[name] * share if name in learnt else array) for name, array in arrays.items()}
        content = update_write(
            plan=plan, node_id=header.node_id, counter=header.counter, labels=header.labels, steps=header.steps,
            loss_before=header.loss_before, loss_after=header.loss_after, arrays=turned, scores=header.scores,
            variant=header.variant, made_at=datetime.now(UTC), key=node_key_load(root / "keys" / "node.pem"),
        )  # fmt: skip
        path.write_bytes(content)
        with closing(sqlite3.connect(root / "node.sqlite3", timeout=30)) as database:
            values = (sha256_hex(content), len(content))
            database.execute("UPDATE rounds_localupdate SET sha256 = ?, size_bytes = ?", values)
            database.commit()

    @contextmanager
    def _links_come_and_go(self) -> Iterator[None]:
        over, began = threading.Event(), time.monotonic()
        self._clock_set_fast(self.schools[FAST_CLOCK])

        def run() -> None:
            up = dict.fromkeys(range(SCHOOLS), False)
            while not over.wait(0.5):
                for school in self.schools:
                    phase = school.number * LINK.of_seconds / SCHOOLS
                    is_up = school.number != STICK and LINK.is_up(time.monotonic() - began + phase)
                    if up[school.number] != is_up:
                        (school.link_up if is_up else school.link_down)()
                        up[school.number] = is_up

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _clock_set_fast(self, school: School) -> None:
        folder = self.options.root / "clock"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_CLOCK)
        _running_end(school, signal.SIGTERM)
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
        school.commands = replace(school.commands, environment={**school.commands.environment, "PYTHONPATH": path})
        school.start(self.ending)

    def _kill_in_upload(self, killed: list[str]) -> None:
        school = self.schools[CUT_UPLOAD]
        log = school.commands.root / "logs" / "supernode.log"
        _until(lambda: log.exists() and b"Sending" in log.read_bytes(), seconds=ROUND_SECONDS)
        _running_end(school, signal.SIGKILL)
        killed.append("school")
        time.sleep(30)
        school.start(self.ending)

    def _kill_centre(self, killed: list[str]) -> None:
        """Kill the SuperLink and the worker once the first update is in."""
        inbox = self.centre.commands.root / "training" / "inbox"
        _until(lambda: any(inbox.glob("*/*.update*")), seconds=ROUND_SECONDS)
        children = json.loads((self.centre.commands.root / "run.json").read_bytes())["children"]
        for name in ("superlink", "worker"):
            os.kill(int(children[name]), signal.SIGKILL)
        killed.append("centre")

    def _stick_take(self) -> None:
        folder = self._stick_folder()
        self.schools[STICK].commands.run("stick", "bundle", "export", str(folder))
        self.centre.commands.run("stick", "bundle", "import", str(folder))
        # A courier who comes twice with the same stick changes nothing.
        self.centre.commands.run("stick", "bundle", "import", str(folder))

    def _stick_folder(self) -> Path:
        folder = self.options.root / "stick"
        folder.mkdir(exist_ok=True)
        return folder

    def _wait_closed(self, season_id: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def is_closed() -> bool:
            found.update(self.centre.commands.run_json("round", "season_show", "--season", season_id)["rounds"][0])
            return found["status"] in ("completed", "abandoned")

        _until(is_closed, seconds=ROUND_SECONDS, pause_seconds=5.0)
        return found

    def _rows(self, closed: dict[str, Any], seconds: float, *, kills: int) -> list[Row]:
        updates = {each["school"]: each for each in closed["updates"]}
        accepted = [each["digest"] for each in closed["updates"] if each["status"] == "accepted"]
        listed = self._contributions(closed["release"])
        poisoned = updates.get(self.schools[POISONED].name, {"status": "absent"})
        return [
            row("processes_closed", float(closed["status"] == "completed"), "of one round", at_least=1),
            row("processes_counted", len(accepted), f"of {HONEST} honest updates", at_least=HONEST),
            row("processes_lost", len(set(accepted) - set(listed)), "updates", at_most=0),
            row("processes_doubled", len(listed) - len(set(listed)), "updates", at_most=0),
            row("processes_quarantined", float(poisoned["status"] == "quarantined"), "of one poisoned", at_least=1),
            row("processes_kills", kills, "of two, in mid-upload and of the centre", at_least=2),
            row("processes_minutes", seconds / 60, "minutes, training and waiting for links"),
        ]

    def _contributions(self, digest: str) -> list[str]:
        with closing(sqlite3.connect(self.centre.commands.root / "central.sqlite3", timeout=30)) as database:
            (found,) = database.execute("SELECT contributions FROM releases_release WHERE digest = ?", (digest,))
        listed: list[str] = json.loads(found[0])
        return listed


def _running_end(school: School, sign: signal.Signals) -> None:
    """End all that the school's `run` has started, as a switch at the wall does with SIGKILL."""
    root = str(school.commands.root)
    for pid in pids_with(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
    _until(lambda: not pids_with(root), seconds=60)


def _pairs() -> list[Pair]:
    corrected = [Pair(question=each.question, correction=each.correction) for each in labels_read() if each.correction]
    return corrected[: SCHOOLS * PAIRS_A_SCHOOL]


def _until(claim: Callable[[], bool], *, seconds: float, pause_seconds: float = 0.2) -> None:
    until = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > until:
            raise TimeoutError(f"{claim.__qualname__} did not come true in {seconds:.0f} s")
        time.sleep(pause_seconds)
