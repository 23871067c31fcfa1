"""Seasons: opened on a base, closed by a person; in between rounds follow one another, and adapters are adopted."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from central.releases.errors import BaseNotReady
from central.releases.models import IN_FORCE, Release, ReleaseKindChoice, ReleaseStatus, bulky
from central.schools.audit import audit_record
from central.schools.reach import entity_of, region_expect
from central.schools.transitions import status_move
from central.training.errors import SeasonUnderWay, SeasonUnknown
from central.training.mode_settings import mode_expect, round_minimum
from central.training.models import Round, RoundStatus, Season, SeasonMode, SeasonStatus
from central.training.plan_settings import NATURAL_PLAN, PlanSettings
from central.training.plans import plan_issue, plans_renew, season_version, settings_of
from federation.basis import SlotSize
from federation.trust.keys import DirectorKey
from federation.wire.canonical import to_plain
from federation.wire.rounds import SchemeName

ACTOR = "centre"


def season_get(season_id: str) -> Season:
    """Return the season of this id.

    Raises:
        SeasonUnknown: there is none.
    """
    season = Season.objects.select_related("base").filter(season_id=season_id).first()
    if season is None:
        raise SeasonUnknown(season_id=season_id[:64])
    return season


def season_open(
    *,
    base: Release,
    slot_sizes: Mapping[str, SlotSize],
    wanted: int,
    key: DirectorKey,
    actor: str,
    now: datetime,
    scheme: SchemeName = SchemeName.FFA_LORA,
    mode: SeasonMode = SeasonMode.PLAIN,
    mode_settings: Mapping[str, Any] | None = None,
    settings: PlanSettings = NATURAL_PLAN,
) -> Season:
    """Return an open season on `base` with its first plan and a round that collects; `slot_sizes` are in card order.

    Raises:
        BaseNotReady: the release is no base, or not in force.
        MalformedDocument, ModeTermsInvalid, ModesExclude, SchemeNotForMode: the mode cannot keep its promise.
        SeasonUnderWay: another season on it is open.
        AnchorsUnreadable: the anchors are damaged.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    region_expect(actor=actor, region="", entity="training.season")
    if base.kind != ReleaseKindChoice.BASE or not base.is_in_force:
        raise BaseNotReady(release=base.version, status=base.status)
    terms = dict(mode_settings or {})
    mode_expect(mode=mode, settings=terms, scheme=scheme, fusion=settings.fusion, wanted=wanted)
    minimum = round_minimum(mode=mode, settings=terms, minimum=settings.minimum, wanted=wanted)
    try:
        with transaction.atomic():
            season = Season.objects.create(
                season_id=uuid.uuid4().hex,
                base=base,
                scheme=scheme.value,
                mode=mode,
                settings=to_plain(replace(settings, minimum=minimum)),
                mode_settings=terms,
                slot_sizes=[[name, size.d_in, size.d_out] for name, size in slot_sizes.items()],
                wanted=wanted,
                opened_by=actor,
                opened_at=now,
            )
            audit_record(actor=actor, entity=entity_of(season), old="", new=season.status, reason="", now=now)
            plan_issue(season=season, start=None, version=0, key=key, now=now)
            round_open_next(season=season, actor=actor, now=now)
    except IntegrityError as error:
        raise SeasonUnderWay(release=base.version) from error
    return season


def season_close(*, season: Season, actor: str, reason: str, now: datetime) -> None:
    """Take nothing in any more; the round that collects is combined once it may, if it has enough."""
    status_move(
        season,
        to=SeasonStatus.CLOSED,
        actor=actor,
        reason=reason,
        now=now,
        closed_at=now,
        why_closed=reason[:200],
    )


def season_lock(pk: int) -> Season:
    """Return the season, held by this transaction alone: what counts in which round is decided under this lock."""
    return Season.objects.select_for_update().get(pk=pk)


def round_open_next(*, season: Season, actor: str, now: datetime) -> Round:
    """Return a new round of the season that collects."""
    settings = settings_of(season)
    number = (season.rounds.aggregate(newest=Max("number"))["newest"] or 0) + 1
    return Round.objects.create(
        round_id=f"{season.season_id}-{number}",
        season=season,
        number=number,
        wanted=season.wanted,
        minimum=settings.minimum,
        opened_by=actor,
        opened_at=now,
        closes_at=now + timedelta(days=settings.round_days),
    )


def season_follow(*, season: Season, key: DirectorKey, now: datetime) -> None:
    """Adopt what was signed since, and have a plan in force for each start while the season is open."""
    with transaction.atomic():
        season = season_lock(season.pk)
        for round_ in _signed(season):
            _adopt(round_, season_version(season) + 1, now)
        if season.status == SeasonStatus.OPEN:
            plans_renew(season=season, key=key, now=now)


def candidate_undecided(season: Season) -> Round | None:
    """Return the round whose candidate has passed the gate and waits for its signature or its adoption."""
    return _undecided(season).select_related("release").defer(*bulky("release")).first()


def candidate_waits(season: Season) -> bool:
    """Tell whether there is such a round."""
    return _undecided(season).exists()


def season_newest(season: Season) -> Round | None:
    """Return the round of the season's newest adapter in force: its next one starts from there."""
    adopted = season.rounds.exclude(version=None).filter(release__status__in=IN_FORCE)
    return adopted.select_related("release").order_by("-version").first()


def _undecided(season: Season) -> QuerySet[Round]:
    waiting = (ReleaseStatus.AWAITING_SIGNATURE, *IN_FORCE)
    return season.rounds.filter(status=RoundStatus.COMPLETED, version=None, release__status__in=waiting)


def _signed(season: Season) -> list[Round]:
    signed = season.rounds.filter(status=RoundStatus.COMPLETED, version=None, release__status__in=IN_FORCE)
    return list(signed.order_by("release__version"))


def _adopt(round_: Round, version: int, now: datetime) -> None:
    Round.objects.filter(pk=round_.pk).update(version=version)
    entity = entity_of(round_)
    audit_record(actor=ACTOR, entity=entity, old="completed", new=f"version {version}", reason="", now=now)
