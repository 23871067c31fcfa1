"""Plays the country: schools, contacts and the ServerApp's own loop, run after run, and what is killed on the way."""

from __future__ import annotations

import random
import shutil
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from central.disk import CentreDisk
from federation.learning.flower.collection import Collection, Terms
from federation.learning.flower.inbox import RoundInbox
from tests.country.centre import Centre
from tests.country.pc import UPDATE_BYTES, Chances, Pc
from tests.country.rhythms import DAY, HOUR, contacts_draw, places_draw
from tests.country.world import World
from tests.simulated_grid import SimulatedGrid, SimulatedNode, SimulatedPool

BEGAN_AT = datetime(2026, 11, 1, tzinfo=UTC)
RUN_SECONDS = DAY
TICK_SECONDS = 120.0
"""The real worker looks every few seconds; so a contact takes up to two minutes longer here, and a round is combined up
to an hour later. A play takes hours less."""
MAX_UPDATE_BYTES = 16 * 1024 * 1024


def _unheard(_days: float) -> None:
    """Let days be over that nobody waits for."""


class RunKilled(Exception):
    """The ServerApp, and with it the SuperLink's run, is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What is played."""

    schools: int
    days: float
    wanted: int
    """Updates that fill a round."""
    seed: int = 7
    chances: Chances = field(default_factory=Chances)
    days_between_run_kills: float = 5.0
    worker_kill: float = 0.15
    """Of an aggregation to be killed at the gate."""


class Play:
    """One play; `run` plays it to its end."""

    def __init__(self, script: Script, *, disk: CentreDisk) -> None:
        self.script, self.disk = script, disk
        self.rng = random.Random(script.seed)
        self.grid = SimulatedGrid([])
        self.world = World(self.grid, began_at=BEGAN_AT, until=script.days * DAY)
        self.centre = Centre(world=self.world, disk=disk, rng=self.rng, wanted=script.wanted)
        self.pcs: list[Pc] = []
        self.run_kills = 0
        self.runs = 0
        self.counts: Counter[str] = Counter()
        self._is_run_killed = False
        self._folder = disk.inbox
        self._inbox_seen = 0
        self._is_tick_due = False
        for place in places_draw(self.rng, schools=script.schools):
            self._school_add(place)
        self.world.at(script.days_between_run_kills * DAY, self._run_kill)
        self.world.at(HOUR, self._each_hour)

    def run(self, between: Callable[[float], None] = _unheard) -> None:
        """Play on to the end; `between` hears how many days are over whenever no run of the ServerApp is under way."""
        while not self.world.is_over:
            between(self.world.days)
            round_ = self.centre.collecting()
            if round_ is None:
                self.world.sleep(60.0)
                continue
            self._collect(round_.round_id, round_.season.season_id, round_.wanted)
        between(self.world.days)

    def _collect(self, round_id: str, season_id: str, wanted: int) -> None:
        self.runs += 1
        inbox = RoundInbox(inbox=self.disk.inbox, round_id=round_id)
        terms = Terms(
            season_id=season_id, round_id=round_id, wanted=10 * wanted, duration_seconds=RUN_SECONDS,
            max_update_bytes=MAX_UPDATE_BYTES, tick_seconds=6.0,
        )  # fmt: skip
        collection = Collection(
            grid=self.grid, inbox=inbox, terms=terms, clock=self.grid.clock, sleep=self._sleep,
            pool=SimulatedPool(self.grid),
        )  # fmt: skip
        self._folder = inbox.folder
        try:
            collection.run()
        except RunKilled:
            self.run_kills += 1
        self.counts.update(collection.counts)
        # Whichever way it ended, the SuperLink forgets the run's messages.
        self.grid.run_end()
        self._folders_clear(round_id)

    def _folders_clear(self, but: str) -> None:
        """Remove what was judged of earlier rounds, as an operator does; listing it costs more every day."""
        for folder in self.disk.inbox.iterdir():
            if folder.name != but and not list(folder.glob("*.update")):
                shutil.rmtree(folder)

    def _sleep(self, seconds: float) -> None:
        if self._is_run_killed:
            self._is_run_killed = False
            raise RunKilled
        self.world.sleep(seconds)
        changed = self._folder.stat().st_mtime_ns
        if changed != self._inbox_seen and not self._is_tick_due:
            self._is_tick_due = True
            self.world.at(self.world.now + TICK_SECONDS, self._inbox_look)
        if self.world.is_over:
            raise RunKilled

    def _inbox_look(self) -> None:
        self._is_tick_due = False
        self.centre.inbox_look()
        self._inbox_seen = self._folder.stat().st_mtime_ns if self._folder.exists() else 0
        for pc in [pc for pc in self.pcs if pc.is_in_contact]:
            pc.word_is_out()

    def _tick(self) -> None:
        self.centre.tick(is_killed=self.rng.random() < self.script.worker_kill)
        collecting = self.centre.collecting()
        if self._folder.exists() and (collecting is None or self._folder.name != collecting.round_id):
            # What `fleet` does: the run of a round that collects no more is asked to end.
            (self._folder / "close").touch()

    def _each_hour(self) -> None:
        self._tick()
        self.world.at(self.world.now + HOUR, self._each_hour)

    def _run_kill(self) -> None:
        self._is_run_killed = True
        self.world.at(self.world.now + self.script.days_between_run_kills * DAY, self._run_kill)

    def _school_add(self, place) -> None:
        node_id, key = self.centre.school_enrol(place)
        flower_id = place.number + 2
        pc = Pc(
            place=place, node_id=node_id, key=key, flower_id=flower_id, world=self.world, door=self.centre,
            rng=self.rng, chances=self.script.chances, running=self.centre.base.digest,
            contacts=deque(contacts_draw(self.rng, place, until=self.script.days * DAY)),
        )  # fmt: skip
        self.pcs.append(pc)
        seconds = UPDATE_BYTES * 8 / (place.kbit_s * 1000) if place.kbit_s else 0.0
        # It was connected once, when it enrolled.
        self.grid.nodes[flower_id] = SimulatedNode(
            flower_id, node_id, [], pc.answer, work_seconds=4.0, upload_seconds=seconds, leaves_cleanly=False,
        )  # fmt: skip
        pc.contact_await()
