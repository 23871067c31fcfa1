"""One school's PC: learns at night, hands its update in when a link or a courier comes, forgets it on the receipt.

The rules are the node's own (`node.sync`, `node.rounds`): the newest plan for the release that it runs, one update a
plan, a lease before a SuperNode, the update kept until the centre's word, HTTPS after three refused leases.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from flwr.app import Message

from federation.learning.flower.messages import answer_make
from federation.wire.canonical import sha256_hex
from federation.wire.releases import UpdateReceipt
from federation.wire.rounds import Lease, RoundPlan
from tests.country.rhythms import DAY, Place, Rhythm, training_ends
from tests.country.world import World

TALK_SECONDS = 5.0
RESTART_SECONDS = 61.0
REFUSALS = 3
ADAPTER_BYTES = 1_500_000
UPDATE_BYTES = 700_000
"""As large as those of the real model at the default scheme; the simulated ones are small, their journeys are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An update that waits for the centre's word."""

    plan: RoundPlan
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """How often things go wrong."""

    power_cut: float = 0.04
    """Of a contact to end with the PC, in the middle of whatever it does."""
    both_ways: float = 0.03
    """Of an update to travel by stick as well."""


class Door(Protocol):
    """What a PC needs of the centre."""

    def check_in(self, pc: Pc) -> tuple[RoundPlan | None, tuple[UpdateReceipt, ...]]: ...
    def lease(self, pc: Pc, plan: RoundPlan) -> Lease: ...
    def release_for(self, pc: Pc) -> str: ...
    def take_in(self, content: bytes) -> None: ...
    def learn(self, pc: Pc, plan: RoundPlan, *, counter: int, labels: int) -> bytes: ...


@dataclass(eq=False)
class Pc:
    """The PC of the school at `place`."""

    place: Place
    node_id: str
    key: EllipticCurvePrivateKey
    flower_id: int
    world: World
    door: Door
    rng: random.Random
    chances: Chances
    running: str
    contacts: deque[tuple[float, float]]
    """When links or couriers are still to come, in order."""
    plan: RoundPlan | None = None
    training: RoundPlan | None = None
    answered: set[str] = field(default_factory=set)
    waiting: list[Finished] = field(default_factory=list)
    receipts: dict[str, UpdateReceipt] = field(default_factory=dict)
    finished: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Of every update that it ever made, by its digest, when the corrections that were new in it were made."""
    corrections: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)
    """Corrections that are in no update which the centre has accepted or has still to judge."""
    heard_corrections_until: float = 0.0
    link_until: float = 0.0
    fetched_bytes: float = 0.0
    sent_bytes: float = 0.0
    refusals: int = 0
    leases_refused: int = 0
    contact: int = 0
    """Counts its contacts by Flower; an event of an earlier one is void."""
    is_in_contact: bool = False

    def contact_await(self) -> None:
        """Let the next contact come in its time."""
        if self.contacts:
            start, end = self.contacts.popleft()
            self.world.at(start, partial(self._contact_comes, end))

    def _contact_comes(self, until: float) -> None:
        self.contact_await()
        if self.place.rhythm is Rhythm.STICK:
            self.courier_comes()
        else:
            self.link_comes(until)

    def link_comes(self, until: float) -> None:
        """Have a link from now on."""
        self.link_until = until
        self._later(TALK_SECONDS, self._talk)

    def courier_comes(self) -> None:
        """Trade by a stick: what waits goes along and stays here too; the centre's newest word is on it."""
        for update in self.waiting:
            self.world.at(self.world.now + self.rng.uniform(1, 5) * DAY, partial(self.door.take_in, update.content))
        self._check_in()
        if self.door.release_for(self) != self.running:
            self.running = self.door.release_for(self)
            self._check_in()

    def answer(self, question: Message) -> Message:
        """Answer as the ClientApp does: with any finished update without a receipt."""
        return answer_make(update=self.waiting[0].content if self.waiting else None, question=question)

    def word_is_out(self) -> None:
        """Check in, as a PC in contact does every few seconds; the contact ends on the receipt."""
        if not self.is_in_contact or self.world.now >= self.link_until:
            return
        waited = len(self.waiting)
        self._check_in()
        if len(self.waiting) < waited:
            self._supernode_end(is_clean=True)
            self._hand_in()

    def _talk(self) -> None:
        self._check_in()
        if self.door.release_for(self) == self.running:
            self._hand_in()
            return
        seconds = (ADAPTER_BYTES - self.fetched_bytes) * 8 / (self.place.kbit_s * 1000)
        if self.world.now + seconds < self.link_until:
            self._later(seconds, self._install)
        else:
            # What has arrived stays, and the next contact goes on from there.
            self.fetched_bytes += (self.link_until - self.world.now) * self.place.kbit_s * 1000 / 8

    def _install(self) -> None:
        self.running, self.fetched_bytes = self.door.release_for(self), 0.0
        self._check_in()
        self._hand_in()

    def _check_in(self) -> None:
        plan, receipts = self.door.check_in(self)
        for receipt in receipts:
            self._settle(receipt)
        if plan is not None:
            self.plan = plan
            self._train_if_due()

    def _settle(self, receipt: UpdateReceipt) -> None:
        for update in [each for each in self.waiting if each.sha256 == receipt.update_sha256]:
            self.waiting.remove(update)
            self.receipts[update.sha256] = receipt
            self.sent_bytes = 0.0
            if not receipt.accepted:
                self.fresh += self.finished[update.sha256]

    def _train_if_due(self) -> None:
        plan = self.plan
        if plan is None or self.training is not None or plan.plan_id in self.answered:
            return
        self._corrections_hear()
        if len(self.corrections) < plan.min_labels:
            self.world.at(self.world.now + DAY, self._train_if_due)
            return
        self.training = plan
        self.world.at(training_ends(self.rng, self.place, now=self.world.now), self._trained)

    def _trained(self) -> None:
        plan, self.training = self.training, None
        assert plan is not None
        self._corrections_hear()
        counter, labels = len(self.finished) + 1, min(len(self.corrections), plan.max_labels)
        content = self.door.learn(self, plan, counter=counter, labels=labels)
        update = Finished(plan=plan, content=content, sha256=sha256_hex(content))
        self.finished[update.sha256], self.fresh = tuple(self.fresh), []
        self.answered.add(plan.plan_id)
        self.waiting.append(update)
        if self.rng.random() < self.chances.both_ways:
            self.world.at(self.world.now + self.rng.uniform(1, 9) * DAY, partial(self.door.take_in, content))
        self._train_if_due()

    def _corrections_hear(self) -> None:
        """Let the teachers' corrections up to now be there."""
        since = self.heard_corrections_until
        while (since := since + self.rng.expovariate(self.place.corrections_a_day / DAY)) < self.world.now:
            self.corrections.append(since)
            self.fresh.append(since)
        self.heard_corrections_until = self.world.now

    def _hand_in(self) -> None:
        if not self.waiting or self.is_in_contact or self.place.rhythm is Rhythm.STICK:
            return
        if self.refusals >= REFUSALS:
            self._upload()
            return
        lease = self.door.lease(self, self.waiting[0].plan)
        if not lease.granted:
            self.refusals += 1
            self.leases_refused += 1
            self._later(lease.retry_after_seconds, self._hand_in)
        elif self.world.grid.supernode_open(self.flower_id, until=self.link_until):
            self._contact_begin((lease.expires_at - self.world.moment()).total_seconds())
        else:
            self._later(RESTART_SECONDS, self._hand_in)

    def _contact_begin(self, lease_seconds: float) -> None:
        self.refusals = 0
        self.is_in_contact, self.contact = True, self.contact + 1
        number = self.contact
        self.world.at(self.world.now + lease_seconds, partial(self._contact_over, number, is_power_cut=False))
        if self.rng.random() < self.chances.power_cut:
            seconds = self.rng.uniform(1, 40)
            self.world.at(self.world.now + seconds, partial(self._contact_over, number, is_power_cut=True))

    def _contact_over(self, number: int, *, is_power_cut: bool) -> None:
        if not self.is_in_contact or self.contact != number:
            return
        self._supernode_end(is_clean=not is_power_cut and self.world.now < self.link_until)
        if is_power_cut:
            self.link_until = min(self.link_until, self.world.now)

    def _supernode_end(self, *, is_clean: bool) -> None:
        self.is_in_contact = False
        self.world.grid.supernode_end(self.flower_id, is_clean=is_clean)

    def _upload(self) -> None:
        """Send the update by HTTPS; what the centre has of it stays there when the link goes."""
        update = self.waiting[0]
        seconds = (UPDATE_BYTES - self.sent_bytes) * 8 / (self.place.kbit_s * 1000)
        if self.world.now + seconds < self.link_until:
            self._later(seconds, partial(self._uploaded, update))
        else:
            self.sent_bytes += (self.link_until - self.world.now) * self.place.kbit_s * 1000 / 8

    def _uploaded(self, update: Finished) -> None:
        self.refusals = 0
        self.door.take_in(update.content)
        self._check_in()

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        """Let `call` happen if the link is still up then."""
        self.world.at(self.world.now + seconds, partial(self._if_linked, call))

    def _if_linked(self, call: Callable[[], None]) -> None:
        if self.world.now < self.link_until:
            call()
