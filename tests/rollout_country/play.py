"""Plays one scenario: contacts in their order, a tick every few hours, an admin who looks once a day."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from central.rollouts.models import PauseReason, RolloutStatus
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import WaveSpec
from central.schools.models import Node
from central.schools.rhythm import contact_days_record
from federation.wire.releases import Assignment
from tests.country.rhythms import DAY, HOUR, Place, Rhythm, contacts_draw, places_draw
from tests.rollout_country.centre import Centre
from tests.rollout_country.scenarios import PLEASED, Scenario, first_wave
from tests.rollout_country.schools import TEST_SECONDS, TRIAL_SECONDS, Pc, memory_draw

BEGAN_AT = datetime(2026, 11, 1, tzinfo=UTC)
HISTORY_DAYS = 62
LONGEST_DAYS = 240
TICK_SECONDS = 6 * HOUR
TALK_SECONDS = 5.0
ASKED_ALL_THE_SAME = 0.02
ANSWER_LOST = 0.03
OUTAGE = (20 * DAY, 24 * DAY)
"""A winter storm: schools that live with power cuts have no power at all."""
PASS_SHARE = 0.9
DEADLINE = timedelta(days=21)


@dataclass
class Play:
    """One play; `run` plays it to its end and returns what came of it."""

    scenario: Scenario
    schools: int
    progress: Callable[[str], object]
    seed: int = 11
    now: float = 0.0
    days: list[dict[str, int]] = field(default_factory=list)
    """How many schools were in which state, day by day."""
    marks: list[tuple[float, str]] = field(default_factory=list)
    """On which day something happened to the rollout."""
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Let the schools be there."""
        self.rng = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._until: dict[str, float] = {}
        self.worst = 0
        """The most schools that ran the new release at one time before it was taken back."""
        self.offered_at_halt = 0
        self.centre = Centre(rng=self.rng, kills=self.scenario.kills, workers=self.scenario.workers)
        self.old, self.new = self.centre.begin(now=BEGAN_AT)
        self.pcs = [self._pc(place) for place in places_draw(self.rng, schools=self.schools)]
        histories = [self._contacts_plan(pc) for pc in self.pcs]
        self.centre.schools_enrol(self.pcs, histories=histories, now=BEGAN_AT)
        self._seen: tuple[str, ...] = ()
        self._halted_at: float | None = None

    def run(self) -> dict[str, object]:
        """Play to the end; the end is a rollout that is over, and schools that have nothing left to do."""
        first = first_wave(self.schools)
        waves = [
            WaveSpec(name="аввал", count=first),
            WaveSpec(name="дуюм", percent=30),
            WaveSpec(name="ҳама", percent=100),
        ]
        rules = WaveRules(
            min_committed=first // 2,
            pass_share=PASS_SHARE,
            failures_allowed=max(2, first // 50),
            soak=timedelta(days=self.scenario.soak_days),
            deadline=DEADLINE,
        )
        self.centre.roll_out(waves=waves, rules=rules, now=self.moment())
        self._each(TICK_SECONDS, self._tick)
        self._each(DAY, self._day)
        while self._events and self.now < LONGEST_DAYS * DAY and not self._is_over():
            self.now, _, call = heapq.heappop(self._events)
            call()
            if self.centre.errors:
                raise self.centre.errors[0]
        return self._found()

    def moment(self, at: float | None = None) -> datetime:
        """Return the time as the centre's tables know it."""
        return BEGAN_AT + timedelta(seconds=self.now if at is None else at)

    # Schools.

    def _pc(self, place: Place) -> Pc:
        pc = Pc(
            place=place, node_id="", memory_bytes=memory_draw(self.rng), running=self.old,
            rates_a_day=min(self.rng.lognormvariate(-1.2, 0.8), 3.0), pleased=self.rng.gauss(0.0, 0.08),
        )  # fmt: skip
        pc.rated_until = -30 * DAY
        return pc

    def _contacts_plan(self, pc: Pc) -> tuple[int, datetime]:
        """Let the school's contacts come; return the days of those that were before the play."""
        history, last = 0, None
        for start, end in contacts_draw(self.rng, pc.place, until=(HISTORY_DAYS + LONGEST_DAYS) * DAY):
            at = start - HISTORY_DAYS * DAY
            if at < 0:
                today = timezone.localdate(self.moment(at))
                history, last = contact_days_record(days=history, last=last, today=today), today
                before = self.moment(at)
            elif pc.place.rhythm is Rhythm.STICK:
                self._at(at, lambda pc=pc: self._courier_leaves(pc))
            elif not (pc.place.rhythm is Rhythm.WINTER and OUTAGE[0] <= at < OUTAGE[1]):
                self._at(at, lambda pc=pc, until=at + end - start: self._link(pc, until))
        return history, before

    def _link(self, pc: Pc, until: float) -> None:
        self._rate(pc)
        self._prove(pc)
        said = self.centre.said(pc)
        is_idle = not pc.reports and pc.heard == said and pc.is_settled
        if is_idle and self.rng.random() >= ASKED_ALL_THE_SAME:
            self.centre.idle(pc, self.moment())
            self.counts["idle contacts"] += 1
            return
        before = pc.word
        if self._check_in(pc, said):
            assert not is_idle or before is None or before.release == (pc.word and pc.word.release), pc
            self._go_on(pc, until)

    def _check_in(self, pc: Pc, said: object) -> bool:
        """Ask and be told; return whether the answer arrived."""
        self.counts["check-ins"] += 1
        sent = len(pc.reports)
        word = self.centre.check_in(pc, self.moment())
        if word is None or self.rng.random() < ANSWER_LOST:
            self.counts["answers lost"] += 1
            return False
        del pc.reports[:sent]
        pc.hear(word)
        pc.heard = said
        return True

    def _go_on(self, pc: Pc, until: float) -> None:
        if not pc.has_to_change or pc.committed_at is not None:
            return
        seconds = pc.seconds_to_fetch()
        if self.now + TALK_SECONDS + seconds > until:
            pc.fetch_for(max(until - self.now - TALK_SECONDS, 0.0), self.moment())
            return
        self._at(self.now + TALK_SECONDS + seconds + TEST_SECONDS, lambda: self._tested(pc, pc.word, until))

    def _tested(self, pc: Pc, word: Assignment, until: float) -> None:
        if pc.word is not word or not pc.has_to_change or pc.committed_at is not None:
            return
        is_good = word.release != self.new or self.scenario.is_good_at(pc)
        if pc.try_out(is_good=is_good, now=self.moment()):
            pc.committed_at = self.now + TRIAL_SECONDS
            self._at(pc.committed_at, lambda: self._proved(pc, until))
        elif self.now < until:
            self._link_again(pc, until)

    def _proved(self, pc: Pc, until: float) -> None:
        self._prove(pc)
        if self.now < until:
            self._link_again(pc, until)

    def _prove(self, pc: Pc) -> None:
        if pc.committed_at is not None and pc.committed_at <= self.now:
            pc.commit(self.moment())

    def _link_again(self, pc: Pc, until: float) -> None:
        if self._check_in(pc, self.centre.said(pc)):
            self._go_on(pc, until)

    # Schools without a link.

    def _courier_leaves(self, pc: Pc) -> None:
        """Write a letter; the courier is there some days later and back as many days after that."""
        word, days = self.centre.letter_write(pc, self.moment()), self.rng.uniform(0.5, 4.0)
        self._at(self.now + days * DAY, lambda: self._courier_arrives(pc, word, days))

    def _courier_arrives(self, pc: Pc, word: Assignment, days: float) -> None:
        self._rate(pc)
        self._prove(pc)
        pc.hear(word)
        if pc.word is not None:
            self._tested(pc, pc.word, 0.0)
        # What the stick takes along stays at the school too, until a letter says that it has arrived.
        said, sent = pc.check_in(self.moment()), len(pc.reports)
        self._at(self.now + days * DAY, lambda: self._courier_returns(pc, said, sent))

    def _courier_returns(self, pc: Pc, said: object, sent: int) -> None:
        self.counts["letters"] += 1
        self.centre.letter_read(said, pc, self.moment())
        del pc.reports[:sent]

    # Teachers.

    def _rate(self, pc: Pc) -> None:
        since, pc.rated_until = pc.rated_until, self.now
        share = (self.scenario.pleased if pc.running == self.new else PLEASED) + pc.pleased
        for _ in range(_poisson(self.rng, pc.rates_a_day * (self.now - since) / DAY)):
            self.counts["ratings"] += 1
            stars = 5 if self.rng.random() < share else 1
            self.centre.rate(pc, stars=stars, number=self.counts["ratings"], now=self.moment())

    # The centre.

    def _tick(self) -> None:
        self.centre.tick(self.moment())
        self._note()

    def _day(self) -> None:
        self.centre.day_end()
        self._note()
        counts = dict(self.centre.counts())
        self.days.append({**counts, "not in a wave yet": self.schools - sum(counts.values())})
        status = self.centre.status
        self.progress(f"day {self.now / DAY:.0f}: {status.label}, {counts.get('committed', 0)} committed")
        if status == RolloutStatus.PAUSED and self._halted_at is not None and self.now - self._halted_at >= DAY:
            self._decide()

    def _note(self) -> None:
        """Take note of what has happened to the rollout since the last look."""
        rollout, waves = self.centre.rollout, self.centre.waves()
        rollout.refresh_from_db()
        running = sum(pc.running == self.new for pc in self.pcs)
        if rollout.status in (RolloutStatus.RUNNING, RolloutStatus.PAUSED):
            self.worst = max(self.worst, running)
        seen = (rollout.status, rollout.pause_reason, *(wave.status for wave in waves))
        if seen == self._seen:
            return
        self._seen = seen
        opened = [wave.number for wave in waves if wave.status != "pending"]
        words = f"{rollout.status} {rollout.pause_reason}".strip()
        self.marks.append((self.now / DAY, f"{words}, wave {max(opened, default=0)}"))
        if rollout.status == RolloutStatus.PAUSED:
            self._halted_at = self.now
            self.counts[f"paused: {rollout.pause_reason}"] += 1
            self.offered_at_halt = max(self.offered_at_halt, len(self.centre.assigned))

    def _decide(self) -> None:
        self._halted_at = None
        is_bad = self.centre.rollout.pause_reason in (PauseReason.ERROR_THRESHOLD, PauseReason.QUALITY)
        if is_bad or not self.centre.resume(self.moment()):
            self.centre.roll_back(self.moment())

    def _is_over(self) -> bool:
        if self.centre.status not in (RolloutStatus.COMPLETED, RolloutStatus.ROLLED_BACK):
            return False
        return self.now % DAY < HOUR and all(pc.is_settled for pc in self.pcs) and self._agrees() == self.schools

    def _agrees(self) -> int:
        """Return of how many schools the centre knows what they run."""
        held = {str(pk): running for pk, running in Node.objects.values_list("pk", "running")}
        return sum(held[pc.node_id] == pc.running for pc in self.pcs)

    def _found(self) -> dict[str, object]:
        wanted = self.old if self.scenario.halts_for else self.new
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "schools": self.schools,
            "days": self.days,
            "marks": self.marks,
            "status": str(self.centre.status),
            "lasted_days": self.now / DAY,
            "first_wave": first_wave(self.schools),
            "worst": self.worst,
            "offered_at_halt": self.offered_at_halt,
            "on_wanted": sum(pc.running == wanted for pc in self.pcs),
            "on_committed": sum(pc.running in pc.has_run and pc.committed_at is None for pc in self.pcs),
            "agrees": self._agrees(),
            "killed": dict(self.centre.killed),
            "counts": dict(self.counts),
        }

    def _at(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._events, (seconds, next(self._numbers), call))

    def _each(self, seconds: float, call: Callable[[], None]) -> None:
        def again() -> None:
            call()
            self._at(self.now + seconds, again)

        self._at(self.now + (seconds if call == self._day else 0.0), again)


def _poisson(rng: random.Random, mean: float) -> int:
    """Return a draw. Source: Knuth 1969, volume 2, §3.4.1."""
    limit, product, count = math.exp(-min(mean, 50.0)), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
