"""Plans: what is asked of schools that run one start of a season, signed once and given out until a newer one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache

from django.db.models import Max, Q

from central.releases.models import Release, ReleaseStatus, bulky
from central.schools.shared_facts import SharedFacts
from central.training.anchors import anchors_read
from central.training.errors import PlanUnknown
from central.training.models import Plan, Round, RoundStatus, Season
from central.training.plan_settings import PlanSettings
from federation.basis import SlotSize
from federation.trust.envelopes import ROUND_PLAN, envelope_key_ids, envelope_payload_unverified, envelope_seal
from federation.trust.keys import DirectorKey, key_id
from federation.wire.canonical import canonical_bytes, from_plain, parse
from federation.wire.rounds import RoundPlan, SchemeName

PASSED_OVER = "passed_over"
"""Why a candidate that nobody signed in time is refused; its updates go on to the next round."""
_asked: SharedFacts[dict[str, Plan]] = SharedFacts(dict)
"""Plans by their ids, as they were asked for. Thousands of schools answer the same few within days."""


def plan_get(plan_id: str) -> Plan:
    """Return the plan of this id, the same object to all who ask until a plan, a season or a release changes.

    Raises:
        PlanUnknown: there is none.
    """
    asked = _asked.now()
    if plan_id not in asked:
        asked[plan_id] = _plan_find(plan_id)
    return asked[plan_id]


def plan_of(plan: Plan) -> RoundPlan:
    """Return the plan as it was signed."""
    return _plan_read(bytes(plan.envelope))


def settings_of(season: Season) -> PlanSettings:
    """Return the season's terms; one that was opened before a setting existed has its usual value."""
    return from_plain(PlanSettings, season.settings)


def sizes_of(season: Season) -> Mapping[str, SlotSize]:
    """Return the sizes of all slots of the season's base, in the order of its card."""
    return {name: SlotSize(d_in, d_out) for name, d_in, d_out in season.slot_sizes}


def season_version(season: Season) -> int:
    """Return how many adapters the season has adopted."""
    return Round.objects.filter(season=season).aggregate(newest=Max("version"))["newest"] or 0


def plan_issue(*, season: Season, start: Release | None, version: int, key: DirectorKey, now: datetime) -> Plan:
    """Return a new plan for schools that run `start`, the season's adapter number `version`, or its base alone.

    Raises:
        AnchorsUnreadable: the anchors are damaged.
    """
    document = _document(season, start, version, now)
    return Plan.objects.create(
        plan_id=document.plan_id,
        season=season,
        start=start,
        version=version,
        envelope=envelope_seal(payload=canonical_bytes(document), kind=ROUND_PLAN, key=key),
        issued_at=now,
        closes_at=document.closes_at,
    )


def plans_renew(*, season: Season, key: DirectorKey, now: datetime) -> int:
    """Issue a plan for each start of the season that lacks one in force; return how many.

    Beside new adapters and plans whose time is over, all are issued anew after a round that led to nothing: its schools
    have answered the old ones, and would have to be silent until the next adapter.
    """
    fruitless, newest_of = _last_fruitless(season), plans_newest(season)
    issued = 0
    for start, version in _starts(season):
        newest = newest_of.get(start.pk if start else None)
        is_spent = newest is None or newest.closes_at <= now or (fruitless is not None and newest.issued_at < fruitless)
        if is_spent:
            plan_issue(season=season, start=start, version=version, key=key, now=now)
            issued += 1
    return issued


def plans_newest(season: Season) -> Mapping[int | None, Plan]:
    """Return the season's newest plan for each start by the adapter's id, None for the base alone.

    What was signed is not read with them: the worker looks here every few seconds.
    """
    newest: dict[int | None, Plan] = {}
    for plan in season.plans.defer("envelope"):
        newest.setdefault(plan.start_id, plan)
    return newest


def plan_envelope(*, plan: Plan, key: DirectorKey) -> bytes:
    """Return the plan as `key` has signed it; after a change of the director's key it is signed anew."""
    held = bytes(plan.envelope)
    if key_id(key) in envelope_key_ids(held):
        return held
    sealed = envelope_seal(payload=envelope_payload_unverified(held, kind=ROUND_PLAN), kind=ROUND_PLAN, key=key)
    Plan.objects.filter(pk=plan.pk).update(envelope=sealed)
    return sealed


def _plan_find(plan_id: str) -> Plan:
    # Of its base only the cards are asked for: every update that comes is judged by them.
    unread = set(bulky("season__base")) - {"season__base__card"}
    plans = Plan.objects.select_related("season__base").defer(*unread).prefetch_related("season__base__variants")
    plan = plans.filter(plan_id=plan_id).first()
    if plan is None:
        raise PlanUnknown(plan_id=plan_id[:64])
    return plan


@lru_cache(maxsize=32)
def _plan_read(envelope: bytes) -> RoundPlan:
    # Every update of a round is judged by the same few plans, and each has its anchors with it.
    return parse(RoundPlan, envelope_payload_unverified(envelope, kind=ROUND_PLAN))


def _starts(season: Season) -> Iterator[tuple[Release | None, int]]:
    """Yield the starts, with their versions, from which an update would not be too stale."""
    oldest = season_version(season) - settings_of(season).max_staleness
    if oldest <= 0:
        yield None, 0
    # A later adapter lists every update of the season, and the worker looks here every few seconds.
    adopted = season.rounds.filter(version__gte=max(oldest, 1)).select_related("release").defer(*bulky("release"))
    for round_ in adopted.order_by("version"):
        if round_.release is not None and round_.release.is_in_force and round_.version is not None:
            yield round_.release, round_.version


def _last_fruitless(season: Season) -> datetime | None:
    refused = Q(release__status=ReleaseStatus.REFUSED) & ~Q(release__why=PASSED_OVER)
    ended = season.rounds.filter(Q(status=RoundStatus.ABANDONED) | refused)
    newest: datetime | None = ended.aggregate(newest=Max("ended_at"))["newest"]
    return newest


def _document(season: Season, start: Release | None, version: int, now: datetime) -> RoundPlan:
    settings, scheme = settings_of(season), SchemeName(season.scheme)
    steps = settings.steps_of(scheme)
    return RoundPlan(
        plan_id=uuid.uuid4().hex,
        season_id=season.season_id,
        version=version,
        base=season.base.digest,
        start=start.digest if start else "",
        scheme=scheme,
        precision=settings.precision,
        objective=settings.objective,
        seed=season.season_id,
        rank=settings.rank_of(scheme),
        slots=settings.slots_of(sizes_of(season)),
        learning_rate=settings.learning_rate,
        longest_step=steps.longest_step,
        ridge=settings.ridge,
        max_steps=steps.max_steps,
        stop_loss=settings.stop_loss,
        # Natural steps leave the anchors to the centre (federation.learning.hold).
        anchors=() if steps.longest_step > 0 else anchors_read(),
        min_labels=settings.min_labels,
        max_labels=settings.max_labels,
        max_norm=settings.max_norm,
        issued_at=now,
        closes_at=now + timedelta(days=settings.plan_days),
    )
