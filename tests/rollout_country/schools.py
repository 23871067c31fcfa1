"""One school's PC: hears the director's word, fetches while a link is up, tests, tries, and says how it went."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime

from federation.wire.enrolment import Hardware
from federation.wire.releases import Assignment, CheckIn, InstallReport, InstallState
from tests.country.rhythms import Place

GIB = 2**30
TEST_SECONDS = 120.0
TRIAL_SECONDS = 600.0
RELEASE_BYTES = 1_500_000
EPOCH = "epoch"


@dataclass(eq=False)
class Pc:
    """The PC of the school at `place`."""

    place: Place
    node_id: str
    memory_bytes: int
    running: str
    rates_a_day: float
    pleased: float
    """How much more, or less, this school's teachers like any release."""
    word: Assignment | None = None
    has_run: set[str] = field(default_factory=set)
    """Releases that have passed their test and their trial here."""
    refused: set[str] = field(default_factory=set)
    """Releases that have failed here; a node never tries those again by itself."""
    reports: list[InstallReport] = field(default_factory=list)
    number: int = 0
    fetched_bytes: float = 0.0
    committed_at: float | None = None
    """When the release on trial will have proved itself."""
    rated_until: float = 0.0
    heard: object = None
    """What the centre had to say when it was last asked; while that is the same, nothing can be new."""

    def __post_init__(self) -> None:
        """Take the release that runs for proven."""
        self.has_run.add(self.running)

    @property
    def has_to_change(self) -> bool:
        """Tell whether it was told to run something else than it does, and has not found that it cannot."""
        wanted = self.word.release if self.word else None
        return wanted not in (None, self.running) and wanted not in self.refused

    @property
    def is_settled(self) -> bool:
        """Tell whether it has nothing to change, and nothing to say."""
        return not self.reports and not self.has_to_change and self.committed_at is None

    def hear(self, word: Assignment) -> None:
        """Take in the director's word."""
        if self.word is not None and word.sequence <= self.word.sequence:
            return
        self.word, self.fetched_bytes = word, 0.0

    def seconds_to_fetch(self) -> float:
        """Return how long the release that it was told needs its link; what has run here before lies on the disk."""
        if self.word is None or self.word.release in self.has_run:
            return 0.0
        return (RELEASE_BYTES - self.fetched_bytes) * 8 / (self.place.kbit_s * 1000) if self.place.kbit_s else 0.0

    def fetch_for(self, seconds: float, now: datetime) -> None:
        """Fetch while the link lasts; what has arrived stays."""
        self.fetched_bytes += seconds * self.place.kbit_s * 1000 / 8
        self._report(InstallState.DOWNLOADING, "", now)

    def try_out(self, *, is_good: bool, now: datetime) -> bool:
        """Test the release that it was told; return whether it runs now, on trial."""
        assert self.word is not None
        assert self.word.release is not None
        if not is_good:
            self.refused.add(self.word.release)
            self._report(InstallState.REVERTED, "self_test_failed", now)
            return False
        self.running = self.word.release
        self._report(InstallState.TRIAL, "", now)
        return True

    def commit(self, now: datetime) -> None:
        """Keep what is on trial: it has answered."""
        self.committed_at = None
        self.has_run.add(self.running)
        self._report(InstallState.COMMITTED, "", now)

    def check_in(self, now: datetime) -> CheckIn:
        """Return what it has to say."""
        self.number += 1
        return CheckIn(
            node_id=self.node_id, epoch=EPOCH, sent_at=now, running=self.running, installs=tuple(self.reports),
            disk_free_bytes=10 * GIB, outbox_depth=0, capabilities=("chat",), hardware=self.hardware(), variants={},
            problems=(), assignment_sequence=self.word.sequence if self.word else 0, assignment_sha256="", plan_id="",
            updates_waiting=(), acknowledged_seq=0, number=self.number,
        )  # fmt: skip

    def hardware(self) -> Hardware:
        """Return what it is."""
        return Hardware(
            cores=2, memory_bytes=self.memory_bytes, disk_free_bytes=10 * GIB, machine="x86_64", gpu_memory_bytes=0
        )

    def _report(self, state: InstallState, code: str, now: datetime) -> None:
        assert self.word is not None
        self.reports.append(
            InstallReport(
                release=self.word.release or "", sequence=self.word.sequence, state=state, error_code=code,
                bytes_fetched=int(self.fetched_bytes), at=now,
            )
        )  # fmt: skip


def memory_draw(rng: random.Random) -> int:
    """Return the memory of a school's PC: a fifth of them are small, a fifth large."""
    return rng.choices((2 * GIB, 4 * GIB, 8 * GIB), weights=(20, 60, 20))[0]
