"""Makes a candidate release out of the updates that a round counts, and has the gate judge it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from central.disk import CentreDisk
from central.releases.contributions import parts_shipped
from central.releases.errors import BuildInterrupted
from central.releases.evaluation_set import suites_read, texts_read, unrelated_read
from central.releases.gate import AdapterReport
from central.releases.judge import release_gate
from central.releases.measure import adapter_measure
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
from central.training.combine import Combined, round_combine
from central.training.gate_pairs import corrections_choose
from central.training.hold import HoldMeasure, hold_measured
from central.training.models import Round
from central.training.plans import settings_of
from central.training.provenance import provenance
from central.training.rounds import round_keep
from central.training.seasons import season_newest
from central.training.start import ADAPTER_NAME
from central.training.velocity import velocity_keep
from federation.adapter_file import adapter_write
from federation.errors import FederationError
from federation.inference.errors import SuiteInvalid
from federation.inference.suite import Suite
from federation.wire.contributions import LIST_NAME, Part, list_write

CARD_NAME = "card.json"
Measure = Callable[..., AdapterReport]
ACTOR = "centre"
LOGGER = logging.getLogger(__name__)


def candidate_make(
    *,
    round_: Round,
    disk: CentreDisk,
    clock: Callable[[], datetime],
    measure: Measure = adapter_measure,
    hold: HoldMeasure = hold_measured,
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
        _build(release, round_, disk, clock, hold)
    if release.status == ReleaseStatus.GATED:
        _judge(release, round_, disk, clock, measure)
    return release


def _draft(round_: Round, now: datetime) -> Release:
    season = round_.season
    with transaction.atomic():
        release = release_draft_create(
            kind=ReleaseKindChoice.ADAPTER,
            title=f"{season.base.title} + {season}/{round_.number}",
            base=season.base,
            actor=ACTOR,
            now=now,
        )
        Round.objects.filter(pk=round_.pk).update(release=release)
    return release


def _build(release: Release, round_: Round, disk: CentreDisk, clock: Callable[[], datetime], hold: HoldMeasure) -> None:
    release_build_begin(release=release, actor=ACTOR, now=clock())
    folder = disk.builds / f"adapter-{release.version}"
    try:
        combined = round_combine(round_=round_, disk=disk, hold=hold)
        package = BuiltPackage(folder=folder, card=_adapter_folder_write(folder, round_, combined, disk))
        contributions = tuple(round_.updates.accepted().values_list("digest", flat=True))
        own = Part(version=release.version, updates=contributions)
        (folder / LIST_NAME).write_bytes(list_write([*parts_shipped(now=clock()), own]))
        release_built(release=release, packages=[package], contributions=contributions, disk=disk, now=clock())
    except FederationError as error:
        release_build_fail(release=release, error=error, now=clock())
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _adapter_folder_write(folder: Path, round_: Round, combined: Combined, disk: CentreDisk) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    season, terms = round_.season, settings_of(round_.season)
    if terms.momentum:
        velocity_keep(round_, combined.step.velocity, disk)
    adapter_write(
        folder / ADAPTER_NAME,
        base_digest=season.base.digest,
        seed=season.season_id,
        rank=terms.rank,
        b=combined.step.adapter.b,
        a=combined.step.adapter.a,
    )
    card = provenance(round_=round_, combined=combined)
    (folder / CARD_NAME).write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
    return card


def _judge(release: Release, round_: Round, disk: CentreDisk, clock: Callable[[], datetime], measure: Measure) -> None:
    def progress(stage: str, share: float) -> None:
        release_progress(release=release, stage=stage, share=share, now=clock())
        round_keep(round_=round_, now=clock())

    base, last = round_.season.base, season_newest(round_.season)
    suites, texts, unrelated = _suites_read(release), texts_read(), unrelated_read()
    corrections = corrections_choose(round_)
    adapter_file = release_folder(release=release, disk=disk) / ADAPTER_NAME
    last_file = release_folder(release=last.release, disk=disk) / ADAPTER_NAME if last and last.release else None
    # One adapter runs on every variant of its base, so each is measured under it.
    reports = {
        variant: measure(
            package=release_folder(release=base, disk=disk, variant=variant),
            adapter_file=adapter_file,
            last_file=last_file,
            base_digest=base.digest,
            texts=texts,
            unrelated=unrelated,
            corrections=corrections,
            suites=suites,
            progress=lambda stage, share, variant=variant: progress(f"{variant} {stage}".strip(), share),
        )
        for variant in base.cards
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
