"""The centre of the country: its own services on its own tables, called by the clock of the play.

Simulated are only what takes a model (the centre's own part of a round and the gate's measuring), the person who signs,
and the waves of a rollout.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray

from central.disk import CentreDisk
from central.releases.gate import AdapterReport, PerplexityPair
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus, bulky
from central.releases.services import release_sign
from central.releases.suite_comparison import SuiteReport
from central.schools.models import Node, NodeStatus, School
from central.training.candidate import candidate_make
from central.training.inbox import updates_scan_inbox
from central.training.leases import lease_grant
from central.training.models import Plan, Round, RoundStatus
from central.training.offers import plan_envelope_for, receipts_for
from central.training.plan_settings import LEAST_DAYS, NATURAL_PLAN
from central.training.rounds import round_advance, round_aggregate
from central.training.seasons import season_follow, season_open
from central.training.services import update_take_in
from central.training.shared import seasons_shared
from central.training.start import Start
from central.trust_root import director_key, keys_make
from federation.basis import SlotSize
from federation.inference.suite_run import Outcome
from federation.learning.schemes.contribution import ArrayName, Arrays, Contribution, Hold
from federation.learning.update import update_write
from federation.trust.envelopes import ROUND_PLAN, envelope_payload_unverified
from federation.trust.keys import public_pem
from federation.wire.canonical import parse
from federation.wire.releases import UpdateReceipt
from federation.wire.rounds import Factor, Lease, RoundPlan
from tests.country.pc import Pc
from tests.country.rhythms import DAY, HOUR, Place
from tests.country.world import World

SIZES = {"layers.0.o": SlotSize(6, 4), "layers.0.down": SlotSize(8, 6)}
RANK = 2
SETTINGS = replace(
    NATURAL_PLAN,
    rank=RANK,
    directions=RANK,
    parts=("o", "down"),
    layers_share=1.0,
    min_labels=2,
    max_norm=10.0,
    least_days=LEAST_DAYS,
)
"""A new season's usual ones, but small."""
PERPLEXITY = {language: PerplexityPair(reference=50.0, shipped=50.0) for language in ("tg", "en")}
WAVES = ((0.05, 0.0), (0.3, 2 * DAY), (1.0, 5 * DAY))
"""Up to which share of the schools a release is offered how long after its signature."""
GATE_REFUSES = 0.08
LEASES = 100


class Killed(BaseException):
    """The worker is killed in this very moment."""


class Centre:
    """The ministry's centre; `wanted` updates fill a round."""

    def __init__(self, *, world: World, disk: CentreDisk, rng: random.Random, wanted: int) -> None:
        self.world, self.disk, self.rng = world, disk, rng
        keys_make(now=world.moment())
        self.key = director_key()
        self.base = _base_make(world)
        self.season = season_open(
            base=self.base, slot_sizes=SIZES, wanted=wanted, key=self.key, actor="play", now=world.moment(),
            settings=SETTINGS,
        )  # fmt: skip
        self.adopted: list[tuple[float, str]] = []
        """When a release was signed, and its digest."""
        self.worker_kills = 0
        self._nodes: dict[str, Node] = {}
        self._wave_of: dict[str, float] = {}
        self._plans: dict[bytes, RoundPlan] = {}
        self._rows: dict[str, Plan] = {}
        self._newest_plan: dict[str, str] = {}
        self._plans_look()

    def school_enrol(self, place: Place) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """Return the id and the key of the PC of a school that has enrolled."""
        key, now = ec.generate_private_key(ec.SECP384R1()), self.world.moment()
        school = School.objects.create(name=f"Мактаби №{place.number}", region=place.region, created_at=now)
        node = Node.objects.create(
            school=school, status=NodeStatus.ACTIVE, public_key=public_pem(key), created_at=now,
            capabilities=["chat", "train"], running=self.base.digest,
        )  # fmt: skip
        self._nodes[str(node.pk)] = node
        self._wave_of[str(node.pk)] = self.rng.random()
        return str(node.pk), key

    def check_in(self, pc: Pc) -> tuple[RoundPlan | None, tuple[UpdateReceipt, ...]]:
        """Answer a check-in as the centre does, but ask for nothing that cannot be new: that is most of a play."""
        node = self._nodes[pc.node_id]
        held = pc.plan.plan_id if pc.plan else ""
        waiting = [update.sha256 for update in pc.waiting]
        receipts = receipts_for(node=node, digests=waiting) if waiting else ()
        if node.running == pc.running and self._newest_plan.get(pc.running) in {held, *pc.answered}:
            return None, receipts
        if node.running != pc.running:
            node.running = pc.running
            Node.objects.filter(pk=node.pk).update(running=pc.running)
        envelope = plan_envelope_for(
            node=node, key=self.key, now=self.world.moment(), held_plan_id=held, shared=seasons_shared.now()
        )
        return (self._plan(envelope) if envelope else None), receipts

    def lease(self, pc: Pc, plan: RoundPlan) -> Lease:
        return lease_grant(
            node=self._nodes[pc.node_id],
            plan=self._rows[plan.plan_id],
            cap=LEASES,
            now=self.world.moment(),
        )

    def release_for(self, pc: Pc) -> str:
        """Return what the director names for this PC now: the newest adapter whose wave has reached it."""
        place = self._wave_of[pc.node_id]
        for signed_at, digest in reversed(self.adopted):
            if any(place < share and self.world.now >= signed_at + delay for share, delay in WAVES):
                return digest
        return self.base.digest

    def take_in(self, content: bytes) -> None:
        """Take an update in that came by HTTPS or by stick."""
        update_take_in(content=content, disk=self.disk, now=self.world.moment())

    def learn(self, pc: Pc, plan: RoundPlan, *, counter: int, labels: int) -> bytes:
        """Return what a school has learnt: small arrays that are its own, signed."""
        arrays = arrays_drawn(np.random.default_rng(self.rng.getrandbits(64)), slots=plan.slots, rank=plan.rank)
        return update_write(
            plan=plan, node_id=pc.node_id, counter=counter, labels=labels, steps=5, loss_before=3.0, loss_after=0.1,
            arrays=arrays, made_at=self.world.moment(), key=pc.key,
        )  # fmt: skip

    def inbox_look(self) -> None:
        """Judge what has come by Flower; whether a round is full is asked with the hour's tick."""
        updates_scan_inbox(disk=self.disk, now=self.world.moment())

    def tick(self, *, is_killed: bool = False) -> None:
        """Do what the worker's tick does. Killed, it dies at the gate."""
        now = self.world.moment()
        updates_scan_inbox(disk=self.disk, now=now)
        season_follow(season=self.season, key=self.key, now=now)
        for round_ in Round.objects.filter(status=RoundStatus.COLLECTING).select_related("season__base"):
            round_advance(round_=round_, now=now)
        aggregating = Round.objects.filter(status=RoundStatus.AGGREGATING)
        for round_ in aggregating.select_related("season__base", "release__base"):
            self._aggregate(round_, is_killed=is_killed)
        self._plans_look()

    def collecting(self) -> Round | None:
        collecting = Round.objects.filter(season=self.season, status=RoundStatus.COLLECTING)
        return collecting.select_related("season").first()

    def _aggregate(self, round_: Round, *, is_killed: bool) -> None:
        measure = _gate_killed if is_killed else self._gate

        def make(each: Round) -> Release:
            return candidate_make(
                round_=each, disk=self.disk, clock=self.world.moment, measure=measure, hold=self._hold
            )

        try:
            round_aggregate(round_=round_, disk=self.disk, clock=self.world.moment, make=make)
        except Killed:
            self.worker_kills += 1
            return
        release = Round.objects.get(pk=round_.pk).release
        if release is not None and release.status == ReleaseStatus.AWAITING_SIGNATURE:
            # Somebody signs in the morning.
            morning = (self.world.now // DAY + 1) * DAY + 9 * HOUR
            self.world.at(morning, partial(self._sign, release))

    def _sign(self, release: Release) -> None:
        release.refresh_from_db()
        if release.status != ReleaseStatus.AWAITING_SIGNATURE:
            return
        release_sign(release=release, disk=self.disk, actor="play", now=self.world.moment())
        self.adopted.append((self.world.now, release.digest))
        self.tick()

    def _gate(self, **options: object) -> AdapterReport:
        loss = 0.5 if self.rng.random() < GATE_REFUSES else 0.0
        return gate_report(options["suites"], unrelated_loss=loss)

    def _hold(self, _round: Round, _start: Start, weight: float, _disk: CentreDisk) -> Hold:
        """Return what a process would read out of the base and the adapter (decision 0119), drawn from nowhere."""
        arrays = arrays_drawn(np.random.default_rng(self.rng.getrandbits(64)), slots=list(SIZES), rank=RANK)
        return Hold(contribution=Contribution(node_id="centre", labels=1, staleness=0, arrays=arrays), weight=weight)

    def _plan(self, envelope: bytes) -> RoundPlan:
        payload = envelope_payload_unverified(envelope, kind=ROUND_PLAN)
        if payload not in self._plans:
            self._plans[payload] = parse(RoundPlan, payload)
        return self._plans[payload]

    def _plans_look(self) -> None:
        known = max((plan.pk for plan in self._rows.values()), default=0)
        fresh = Plan.objects.filter(season=self.season, pk__gt=known).select_related("start").defer(*bulky("start"))
        for plan in fresh.order_by("pk"):
            self._rows[plan.plan_id] = plan
            self._newest_plan[plan.start.digest if plan.start else self.base.digest] = plan.plan_id


def arrays_drawn(rng: np.random.Generator, *, slots: Sequence[str], rank: int) -> Arrays:
    """Return what somebody may have learnt: a step and a Gram matrix for each slot."""
    arrays: dict[ArrayName, NDArray[np.float32]] = {}
    for slot in slots:
        seen = rng.normal(0, 1, (2 * rank, rank)).astype(np.float32)
        arrays[slot, Factor.B] = rng.normal(0, 0.1, (rank, SIZES[slot].d_out)).astype(np.float32)
        arrays[slot, Factor.GRAM] = seen.T @ seen
    return arrays


def gate_report(suites: Sequence[object], *, unrelated_loss: float) -> AdapterReport:
    """Return what the gate would have measured."""
    outcomes = {"suite.tg/1": Outcome(subject="s", is_right=True)}
    names = {suite.name: suite.sha256 for suite in suites}
    return AdapterReport(
        perplexity=PERPLEXITY, unrelated_count=12, unrelated_loss=unrelated_loss, corrections_count=1,
        corrections_gain=2.0, suite=SuiteReport(suites=names, outcomes=outcomes),
    )  # fmt: skip


def _gate_killed(**_options: object) -> AdapterReport:
    raise Killed


def _base_make(world: World) -> Release:
    return Release.objects.create(
        kind=ReleaseKindChoice.BASE, version=1, title="Soro 1", status=ReleaseStatus.READY, digest="b" * 64,
        index_bytes=b"{}", created_by="play", created_at=world.moment(), published_at=world.moment(),
    )  # fmt: skip
