"""Plans rollouts: drafts with their waves and terms, and the filters by which an admin picks schools."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from central.releases.models import Release
from central.rollouts.errors import (
    FilterNameTaken,
    ReleaseNeverRan,
    ReleaseNotReady,
    RolloutUnknown,
    RolloutWithoutWaves,
    WindowInvalid,
)
from central.rollouts.models import (
    DAY_SECONDS,
    Assignment,
    Rollout,
    RolloutKind,
    RolloutStatus,
    SchoolFilter,
    Wave,
)
from central.rollouts.targeting import Target
from central.rollouts.terms import RolloutTerms
from central.rollouts.verdict import WaveRules
from central.rollouts.wave_spec import WaveSpec
from central.schools.audit import audit_record
from central.schools.errors import RoleReadsOnly, StatusMoveIllegal
from central.schools.reach import entity_of, reach_of_actor, steering_expect
from federation.wire.canonical import to_plain

DEFAULT_RULES = WaveRules(
    min_committed=1,
    pass_share=0.9,
    failures_allowed=0,
    soak=timedelta(seconds=2 * DAY_SECONDS),
    deadline=timedelta(seconds=21 * DAY_SECONDS),
)
DEFAULT_TERMS = RolloutTerms()


def rollout_get(rollout_id: str) -> Rollout:
    """Return the rollout of this id.

    Raises:
        RolloutUnknown: there is none.
    """
    rollout = Rollout.objects.filter(pk=int(rollout_id)).first() if rollout_id.isdecimal() else None
    if rollout is None:
        raise RolloutUnknown(rollout=rollout_id)
    return rollout


def rollout_create(
    *,
    release: Release,
    waves: Sequence[WaveSpec],
    creator: str,
    now: datetime,
    rules: WaveRules = DEFAULT_RULES,
    terms: RolloutTerms = DEFAULT_TERMS,
    starts_at: datetime | None = None,
) -> Rollout:
    """Return a draft that would offer `release` to `waves`, in their order, each judged by `rules`.

    Raises:
        ReleaseNotReady: the release is not in force.
        ReleaseNeverRan: a return to a release that no school has run.
        RolloutWithoutWaves: there is nobody to offer it to.
        WindowInvalid: the hours begin and end at the same time.
        RoleReadsOnly, OutsideRegion: it would reach schools at which `creator` has no say; nothing is kept.
    """
    _plan_expect(release, waves, terms)
    with transaction.atomic():
        fields = _plan_fields(release, terms, starts_at)
        rollout = Rollout.objects.create(created_by=creator, created_at=now, **fields)
        _waves_add(rollout, waves, rules)
        steering_expect(actor=creator, rows=[rollout])
        audit_record(actor=creator, entity=entity_of(rollout), old="", new=rollout.status, reason="", now=now)
    return rollout


def rollout_replan(
    *,
    rollout: Rollout,
    release: Release,
    waves: Sequence[WaveSpec],
    actor: str,
    now: datetime,
    rules: WaveRules = DEFAULT_RULES,
    terms: RolloutTerms = DEFAULT_TERMS,
    starts_at: datetime | None = None,
) -> None:
    """Leave the draft with another plan; its number stays, so schools keep their places in the order of waves.

    Whoever changed it last counts as its creator: nobody approves their own plan.

    Raises:
        StatusMoveIllegal: it is no draft any more.
        ReleaseNotReady, ReleaseNeverRan, RolloutWithoutWaves, WindowInvalid: as `rollout_create`.
        RoleReadsOnly, OutsideRegion: it reaches, or would reach, schools at which `actor` has no say.
    """
    steering_expect(actor=actor, rows=[rollout])
    _plan_expect(release, waves, terms)
    with transaction.atomic():
        locked = Rollout.objects.select_for_update(no_key=True).get(pk=rollout.pk)
        entity = entity_of(rollout)
        if locked.status != RolloutStatus.DRAFT:
            raise StatusMoveIllegal(entity=entity, old=str(locked.status), new=str(RolloutStatus.DRAFT))
        Rollout.objects.filter(pk=rollout.pk).update(created_by=actor, **_plan_fields(release, terms, starts_at))
        locked.waves.all().delete()
        _waves_add(locked, waves, rules)
        steering_expect(actor=actor, rows=[rollout])
        audit_record(actor=actor, entity=entity, old="draft", new="draft", reason="replanned", now=now)
    rollout.refresh_from_db()


def _plan_expect(release: Release, waves: Sequence[WaveSpec], terms: RolloutTerms) -> None:
    if not release.is_in_force:
        raise ReleaseNotReady(release=release.version, status=release.status)
    if terms.is_rollback and not _has_run(release):
        raise ReleaseNeverRan(release=release.version)
    if not waves:
        raise RolloutWithoutWaves
    if terms.window is not None and terms.window[0] == terms.window[1]:
        raise WindowInvalid(time=terms.window[0].isoformat("minutes"))


def _has_run(release: Release) -> bool:
    return Assignment.objects.has_run().filter(rollout__release=release).exists()


def _plan_fields(release: Release, terms: RolloutTerms, starts_at: datetime | None) -> dict[str, Any]:
    opens_at, closes_at = terms.window or (None, None)
    return {
        "release": release,
        "kind": RolloutKind.ROLLBACK if terms.is_rollback else RolloutKind(release.kind),
        "marks": to_plain(terms.target),
        "is_forced": terms.is_forced,
        "activates_at": terms.activates_at,
        "window_opens_at": opens_at,
        "window_closes_at": closes_at,
        "failure_budget": terms.failure_budget,
        "quality_margin": terms.quality.margin,
        "quality_min_ratings": terms.quality.min_ratings,
        "starts_at": starts_at,
    }


def _waves_add(rollout: Rollout, waves: Sequence[WaveSpec], rules: WaveRules) -> None:
    for number, spec in enumerate(waves, start=1):
        _wave_add(rollout, number, spec, rules)


def _wave_add(rollout: Rollout, number: int, spec: WaveSpec, rules: WaveRules) -> None:
    wave = Wave.objects.create(
        rollout=rollout,
        number=number,
        name=spec.name,
        percent=spec.percent,
        count=spec.count,
        min_committed=rules.min_committed,
        pass_share=rules.pass_share,
        failures_allowed=rules.failures_allowed,
        soak_seconds=int(rules.soak.total_seconds()),
        deadline_seconds=int(rules.deadline.total_seconds()),
        silent_share=rules.silent_share,
    )
    wave.schools.set(spec.schools)


def school_filter_save(*, name: str, target: Target, actor: str, now: datetime) -> SchoolFilter:
    """Return the new filter `name`; rollouts that were planned by others keep what they were planned with.

    Raises:
        FilterNameTaken: there is one of this name.
        RoleReadsOnly: the role of `actor` plans nothing.
    """
    if not reach_of_actor(actor).steers:
        raise RoleReadsOnly(user=actor)
    try:
        with transaction.atomic():
            saved = SchoolFilter.objects.create(name=name, marks=to_plain(target), created_by=actor, created_at=now)
            audit_record(actor=actor, entity=f"filter {name}", old="", new="saved", reason="", now=now)
    except IntegrityError as error:
        raise FilterNameTaken(name=name) from error
    return saved


def school_filter_change(*, saved: SchoolFilter, name: str, target: Target, actor: str, now: datetime) -> None:
    """Leave the filter with another name or other marks; rollouts that were planned by it keep their copy.

    Raises:
        FilterNameTaken: another one has this name.
        RoleReadsOnly, OutsideRegion: `actor` is bound to a region, and somebody else has made it.
    """
    if saved.created_by != actor:
        steering_expect(actor=actor, rows=[saved])
    try:
        with transaction.atomic():
            SchoolFilter.objects.filter(pk=saved.pk).update(name=name, marks=to_plain(target))
            audit_record(actor=actor, entity=f"filter {name}", old="saved", new="changed", reason="", now=now)
    except IntegrityError as error:
        raise FilterNameTaken(name=name) from error
    saved.refresh_from_db()


def school_filter_delete(*, saved: SchoolFilter, actor: str, now: datetime) -> None:
    """Forget the filter; rollouts that were planned by it keep their copy.

    Raises:
        RoleReadsOnly, OutsideRegion: `actor` is bound to a region, and somebody else has made it.
    """
    if saved.created_by != actor:
        steering_expect(actor=actor, rows=[saved])
    with transaction.atomic():
        audit_record(actor=actor, entity=f"filter {saved.name}", old="saved", new="deleted", reason="", now=now)
        SchoolFilter.objects.filter(pk=saved.pk).delete()
