"""Makes a candidate release out of a round's accepted updates, and has the gate judge it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import transaction

from central.disk import CentreDisk
from central.feedback.models import Rating
from central.releases.errors import BuildInterrupted
from central.releases.evaluation_set import suites_read, texts_read, unrelated_read
from central.releases.gate import AdapterReport
from central.releases.judge import release_gate
from central.releases.measure import Pair, adapter_measure
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.services import (
    release_build_begin,
    release_build_fail,
    release_built,
    release_delay,
    release_draft_create,
    release_folder,
    release_progress,
    release_redraft,
)
from central.releases.variants import BuiltPackage
from central.training.models import Round, Update, UpdateStatus
from central.training.rounds import round_keep
from central.training.services import plan_of, update_bytes
from federation.basis import SlotSize
from federation.errors import FederationError
from federation.inference.adapter import adapter_write
from federation.inference.errors import SuiteInvalid
from federation.inference.suite import Suite
from federation.learning.aggregate import Aggregate, aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution
from federation.learning.schemes.scheme import terms_of
from federation.learning.schemes.server import server_step
from federation.learning.update import update_read
from federation.wire.rounds import RoundPlan

ADAPTER_NAME = "adapter.bin"
CARD_NAME = "card.json"
GATE_CORRECTIONS = 64
Measure = Callable[..., AdapterReport]
ACTOR = "centre"
LOGGER = logging.getLogger(__name__)


def candidate_make(
    *, round_: Round, disk: CentreDisk, clock: Callable[[], datetime], measure: Measure = adapter_measure
) -> Release:
    """Return the round's adapter release, judged and signed by nobody yet; goes on where a cut has left it.

    Raises:
        SuiteInvalid: a suite must be mended before the release can be judged; it stays at the gate and says why.
        FederationError: the updates cannot be combined, or the adapter cannot be opened; the build says why.
    """
    release = round_.release or _draft(round_, clock())
    if release.status == ReleaseStatus.BUILDING:
        release_build_fail(release=release, error=BuildInterrupted(release=release.version), now=clock())
    if release.status == ReleaseStatus.BUILD_FAILED:
        release_redraft(release=release, actor=ACTOR, now=clock())
    if release.status == ReleaseStatus.DRAFT:
        _build(release, round_, disk, clock)
    if release.status == ReleaseStatus.GATED:
        _judge(release, round_, disk, clock, measure)
    return release


def _draft(round_: Round, now: datetime) -> Release:
    with transaction.atomic():
        release = release_draft_create(
            kind=ReleaseKindChoice.ADAPTER,
            title=f"{round_.base.title} + {round_.plan_id[:8]}",
            base=round_.base,
            actor=ACTOR,
            now=now,
        )
        Round.objects.filter(pk=round_.pk).update(release=release)
    return release


def _build(release: Release, round_: Round, disk: CentreDisk, clock: Callable[[], datetime]) -> None:
    release_build_begin(release=release, actor=ACTOR, now=clock())
    folder = disk.builds / f"adapter-{release.version}"
    try:
        updates = list(round_.updates.filter(status=UpdateStatus.ACCEPTED).order_by("node_id"))
        card = _adapter_folder_write(folder, round_, updates, disk)
        digests = tuple(update.digest for update in updates)
        package = BuiltPackage(folder=folder, card=card)
        release_built(release=release, packages=[package], contributions=digests, disk=disk, now=clock())
    except FederationError as error:
        release_build_fail(release=release, error=error, now=clock())
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _adapter_folder_write(
    folder: Path, round_: Round, updates: Sequence[Update], disk: CentreDisk
) -> dict[str, object]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    plan = plan_of(round_)
    combined = _combine(round_, plan, updates, disk)
    adapter = server_step(
        scheme=scheme_of(plan.scheme),
        terms=terms_of(plan, _sizes(round_)),
        start=None,
        velocity=None,
        delta=combined.delta,
        size=round_.server_scale,
        decay=0.0,
    ).adapter
    adapter_write(folder / ADAPTER_NAME, base_digest=plan.base, seed=plan.seed, rank=plan.rank, b=adapter.b)
    card = {
        "plan": plan.plan_id,
        "base": plan.base,
        "rank": plan.rank,
        "updates": len(updates),
        "weights": [round(share.weight, 6) for share in combined.shares],
        "norm": round(combined.norm, 6),
    }
    (folder / CARD_NAME).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
    return card


def _combine(round_: Round, plan: RoundPlan, updates: Sequence[Update], disk: CentreDisk) -> Aggregate:
    contributions = []
    for update in updates:
        # Judged when it was taken in; what is on the disk is named by its digest.
        _, arrays = update_read(update_bytes(update=update, disk=disk), precision=plan.precision)
        node_id = str(update.node_id)
        contributions.append(Contribution(node_id=node_id, labels=update.labels, staleness=0, arrays=arrays))
    return aggregate(
        contributions,
        scheme=scheme_of(plan.scheme),
        terms=terms_of(plan, _sizes(round_)),
        max_norm=plan.max_norm,
        max_labels=plan.max_labels,
    )


def _sizes(round_: Round) -> dict[str, SlotSize]:
    # FFA-LoRA's arrays do not depend on what goes into a slot.
    return {slot: SlotSize(0, columns) for slot, columns in round_.slot_columns.items()}


def _judge(release: Release, round_: Round, disk: CentreDisk, clock: Callable[[], datetime], measure: Measure) -> None:
    def progress(stage: str, share: float) -> None:
        release_progress(release=release, stage=stage, share=share, now=clock())
        round_keep(round_=round_, now=clock())

    suites, texts, unrelated, corrections = _suites_read(release), texts_read(), unrelated_read(), _corrections(round_)
    adapter_file = release_folder(release=release, disk=disk) / ADAPTER_NAME
    # One adapter runs on every variant of its base, so each is measured under it.
    reports = {
        variant: measure(
            package=release_folder(release=round_.base, disk=disk, variant=variant),
            adapter_file=adapter_file,
            base_digest=round_.base.digest,
            texts=texts,
            unrelated=unrelated,
            corrections=corrections,
            suites=suites,
            progress=lambda stage, share, variant=variant: progress(f"{variant} {stage}".strip(), share),
        )
        for variant in round_.base.cards
    }
    release_gate(release=release, reports=reports, now=clock())


def _suites_read(release: Release) -> list[Suite]:
    try:
        suites = suites_read(extra=settings.SUITES)
    except SuiteInvalid as error:
        # Tried again with every tick: what has been told once is not told again.
        if release_delay(release=release, why=str(error)):
            LOGGER.warning("release %s waits at the gate: %s", release.version, error)
        raise
    release_delay(release=release, why="")
    return suites


def _corrections(round_: Round) -> list[Pair]:
    """Return the newest corrections of the schools whose updates are in the round."""
    nodes = round_.updates.filter(status=UpdateStatus.ACCEPTED).values("node")
    ratings = Rating.objects.corrections().filter(node__in=nodes).order_by("-received_at")[:GATE_CORRECTIONS]
    return [Pair(question=rating.question, answer=rating.correction) for rating in ratings]
