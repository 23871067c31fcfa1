"""The ministry's centre: its own services on its own tables, called at the moments of the play.

It may be killed in the middle of any statement (`kills`), and then nothing of what it had not committed has happened;
its ticks may be done by two workers at once (`workers`).
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import close_old_connections, connection
from django.utils import timezone

from central.checkins.answer import checkin_record, checkin_take
from central.feedback.models import OutboxCursor, Rating
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.rollouts.assigning import late_node_join
from central.rollouts.director import assignment_word
from central.rollouts.errors import BudgetSpent
from central.rollouts.models import Assignment, RolloutStatus, Wave
from central.rollouts.services import (
    rollout_approve,
    rollout_create,
    rollout_resume,
    rollout_roll_back,
    rollout_submit,
    wave_extend,
)
from central.rollouts.shared import rollouts_look
from central.rollouts.tick import rollouts_advance
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import WaveSpec
from central.schools.models import Node, NodeStatus, School
from central.schools.rhythm import contact_days_record
from central.trust_root import director_key, keys_make
from federation.trust.envelopes import ASSIGNMENT, envelope_open
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.releases import Assignment as AssignmentDocument
from federation.wire.releases import CheckIn, CheckInAnswer
from tests.rollout_country.schools import EPOCH, Pc

NEXT_CHECKIN_SECONDS = 300
_GOING_ON = (RolloutStatus.SCHEDULED, RolloutStatus.RUNNING, RolloutStatus.COMPLETED)


class Killed(BaseException):
    """The process is killed in this very moment."""


class Centre:
    """The centre, with one release that all schools run and one that is rolled out."""

    def __init__(self, *, rng: random.Random, kills: float, workers: int) -> None:
        self.rng, self.kills, self.workers = rng, kills, workers
        self.killed: Counter[str] = Counter()
        self.assigned: set[str] = set()
        self.errors: list[BaseException] = []
        self._contacts: dict[str, datetime] = {}
        self._ratings: list[Rating] = []

    def begin(self, *, now: datetime) -> tuple[str, str]:
        """Make both releases; return the digests of the old and the new one."""
        keys_make(now=now)
        self.key = director_key()
        self.old, self.new = (_release_make(version, now) for version in (1, 2))
        return self.old.digest, self.new.digest

    def schools_enrol(self, pcs: Sequence[Pc], *, histories: Sequence[tuple[int, datetime]], now: datetime) -> None:
        """Enrol the schools, which have been here for long; a history are the days with a contact, and the last one."""
        created = now - timedelta(days=100)
        schools = [School(name=f"Мактаби №{pc.place.number}", region=pc.place.region, created_at=created) for pc in pcs]
        nodes = [
            Node(
                # Which wave a PC is in depends on its id, and the play on nothing but its seed.
                id=UUID(int=self.rng.getrandbits(128), version=4), school=school, status=NodeStatus.ACTIVE,
                public_key=f"key {pc.place.number}", epoch=EPOCH, hardware=asdict(pc.hardware()), created_at=created,
                claimed_at=created, running=pc.running, contact_days=days, last_contact_at=last,
            )
            for school, pc, (days, last) in zip(School.objects.bulk_create(schools), pcs, histories, strict=True)
        ]  # fmt: skip
        for pc, node in zip(pcs, Node.objects.bulk_create(nodes, batch_size=500), strict=True):
            pc.node_id = str(node.pk)
        OutboxCursor.objects.bulk_create(
            [OutboxCursor(node=node, epoch=EPOCH, checked_in_at=created) for node in nodes], batch_size=500
        )

    def roll_out(self, *, waves: Sequence[WaveSpec], rules: WaveRules, now: datetime) -> None:
        """Plan the new release's rollout, and let somebody else approve it."""
        rollout = rollout_create(release=self.new, waves=waves, creator="Гулнора", rules=rules, now=now)
        rollout_submit(rollout=rollout, actor="Гулнора", now=now)
        rollout_approve(rollout=rollout, approver="Фирдавс", now=now)
        self.rollout = rollout

    def tick(self, now: datetime) -> None:
        """Let the workers tick."""
        if self.workers == 1:
            self._or_killed("tick", lambda: rollouts_advance(now=now))
        else:
            self._all_at_once(now)
        self._look()

    def check_in(self, pc: Pc, now: datetime) -> AssignmentDocument | None:
        """Answer a check-in; None: the centre was killed before it had answered."""
        said = parse(CheckIn, canonical_bytes(pc.check_in(now)))
        node = self._node(pc)
        answers: list[CheckInAnswer] = []

        def take() -> None:
            answers.append(
                checkin_take(node=node, checkin=said, key=self.key, next_checkin_seconds=NEXT_CHECKIN_SECONDS, now=now)
            )

        if not self._or_killed("check-in", take):
            return None
        answer = parse(CheckInAnswer, canonical_bytes(answers[0]))
        assert answer.assignment is not None
        return self._opened(answer.assignment)

    def letter_write(self, pc: Pc, now: datetime) -> AssignmentDocument:
        """Return the word of a letter that is written now; when it arrives, nobody knows."""
        node = self._node(pc)
        late_node_join(node=node, look=rollouts_look(node), now=now)
        return self._opened(bytes(assignment_word(node=node, key=self.key, now=now).envelope))

    def letter_read(self, said: CheckIn, pc: Pc, now: datetime) -> None:
        """Take in what came from a school by stick; a letter that is overtaken is left."""
        node = self._node(pc)
        if said.number > node.checkin_number:
            checkin_record(node=node, checkin=said, now=now)

    def idle(self, pc: Pc, now: datetime) -> None:
        """Take note of a contact that has nothing new on either side."""
        self._contacts[pc.node_id] = now

    def rate(self, pc: Pc, *, stars: int, number: int, now: datetime) -> None:
        """Take in a teacher's rating of what the school runs."""
        self._ratings.append(
            Rating(
                node_id=pc.node_id, record_id=f"{pc.place.number}-{number}", revision=1, stars=stars,
                release=pc.running, rated_at=now, received_at=now,
            )
        )  # fmt: skip

    def day_end(self) -> None:
        """Write down what the day's idle contacts and ratings come to."""
        Rating.objects.bulk_create(self._ratings, batch_size=500)
        self._ratings = []
        nodes = Node.objects.filter(pk__in=list(self._contacts)).only("pk", "contact_days", "last_contact_at")
        rows = []
        for node in nodes.iterator(chunk_size=500):
            self._contact_apply(node)
            rows.append(node)
        _rhythms_write(rows)
        self._contacts = {}

    def said(self, pc: Pc) -> object:
        """Return what the director's word to the PC depends on; while that is the same, nothing is new to it."""
        return pc.node_id in self.assigned, self.status in _GOING_ON, self.status == RolloutStatus.PAUSED

    @property
    def status(self) -> RolloutStatus:
        """How far the rollout is."""
        return RolloutStatus(self.rollout.status)

    def resume(self, now: datetime) -> bool:
        """Do what an admin does who has looked: let an undecided wave go on, unless too many have failed meanwhile."""
        wave = self.rollout.waves.filter(status="inconclusive").first()
        if wave is not None:
            wave_extend(wave=wave, actor="Гулнора", now=now)
            self.rollout.refresh_from_db()
        try:
            if self.status == RolloutStatus.PAUSED:
                rollout_resume(rollout=self.rollout, actor="Гулнора", now=now)
        except BudgetSpent:
            return False
        self._look()
        return True

    def roll_back(self, now: datetime) -> None:
        """Do what an admin does who will not have the release."""
        rollout_roll_back(rollout=self.rollout, actor="Гулнора", reason="halted", now=now)
        self._look()

    def counts(self) -> Counter[str]:
        """Return how many nodes stand in which status of the rollout."""
        return Counter(Assignment.objects.filter(rollout=self.rollout).values_list("status", flat=True))

    def waves(self) -> list[Wave]:
        """Return the rollout's waves."""
        return list(self.rollout.waves.order_by("number"))

    def _look(self) -> None:
        self.rollout.refresh_from_db()
        self.assigned = {
            str(pk) for pk in Assignment.objects.filter(rollout=self.rollout).values_list("node", flat=True)
        }

    def _node(self, pc: Pc) -> Node:
        node = Node.objects.select_related("school").get(pk=pc.node_id)
        self._contact_apply(node)
        return node

    def _contact_apply(self, node: Node) -> None:
        at = self._contacts.pop(str(node.pk), None)
        if at is None:
            return
        last = timezone.localdate(node.last_contact_at) if node.last_contact_at else None
        node.contact_days = contact_days_record(days=node.contact_days, last=last, today=timezone.localdate(at))
        node.last_contact_at = at

    def _opened(self, envelope: bytes) -> AssignmentDocument:
        return parse(AssignmentDocument, envelope_open(envelope, kind=ASSIGNMENT, key=self.key.public_key()))

    def _or_killed(self, name: str, call: Callable[[], None]) -> bool:
        """Do it, and tell whether it was done to its end."""
        if self.rng.random() >= self.kills:
            call()
            return True
        try:
            with _killing_after(self.rng.randrange(40)):
                call()
        except Killed:
            self.killed[name] += 1
            return False
        return True

    def _all_at_once(self, now: datetime) -> None:
        ready = threading.Barrier(self.workers)

        def work() -> None:
            ready.wait()
            try:
                rollouts_advance(now=now)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the play ends with it
                self.errors.append(error)
            finally:
                close_old_connections()
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(self.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@contextmanager
def _killing_after(statements: int) -> Iterator[None]:
    left = [statements]

    def wrapper(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if not sql.startswith(("SAVEPOINT", "ROLLBACK", "RELEASE")):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield


def _release_make(version: int, now: datetime) -> Release:
    return Release.objects.create(
        kind=ReleaseKindChoice.BASE, version=version, title=f"Soro {version}", status=ReleaseStatus.READY,
        digest=f"{version:064x}", index_bytes=b"{}", created_by="play", created_at=now, published_at=now,
    )  # fmt: skip


def _rhythms_write(nodes: Sequence[Node]) -> None:
    # bulk_update's CASE over hundreds of rows takes ten times as long.
    key, moment = Node._meta.pk, connection.ops.adapt_datetimefield_value
    rows = [
        (moment(each.last_contact_at), each.contact_days, key.get_db_prep_value(each.pk, connection)) for each in nodes
    ]
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE schools_node SET last_contact_at = %s, contact_days = %s WHERE id = %s", rows)
