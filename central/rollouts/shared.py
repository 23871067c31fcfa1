"""What all schools share of the rollouts that have started, as a check-in looks at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from central.programs.offered import OfferedProgram, programs_offered
from central.releases.models import Release, ReleaseStatus, bulky
from central.rollouts.membership import WaveScope, wave_of
from central.rollouts.models import Assignment, Rollout, RolloutStatus, Wave
from central.rollouts.placing import node_facts
from central.rollouts.targeting import SchoolFacts, Target
from central.schools.models import Node
from central.schools.shared_facts import SharedFacts, facts_number

LOOKED_THROUGH = 5
"""So many rollouts that a node may join, and so many under way, the newest first, are looked through for it."""
_KEPT = 50
_STARTED = (
    RolloutStatus.RUNNING,
    RolloutStatus.PAUSED,
    RolloutStatus.COMPLETED,
    RolloutStatus.ROLLING_BACK,
    RolloutStatus.ROLLED_BACK,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRollout:
    """One of them, with its release and its waves in their order."""

    rollout: Rollout
    target: Target
    waves: Sequence[Wave]
    scopes: Sequence[WaveScope]

    def planned_wave(self, facts: SchoolFacts) -> int | None:
        """Return the number of the node's wave, or None where none is for it."""
        if not self.target.admits(facts):
            return None
        return wave_of(node_id=facts.node_id, school_id=facts.school_id, rollout_id=self.rollout.pk, waves=self.scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedRollouts:
    """The newest of those that have started, by their ids, and which of them are open to whom."""

    newest: Mapping[int, Rollout]
    waves: Mapping[int, Wave]
    joinable: Sequence[StartedRollout]
    """Those that schools which come late may join, the newest first."""
    under_way: Sequence[StartedRollout]
    """Those that may still offer their release to somebody new, the newest first."""
    revoked: frozenset[str]
    """Digests of withdrawn releases."""
    programs: Sequence[OfferedProgram]
    """The newest programs that schools are offered, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a contact finds before it changes anything: the node's parts in their order, and what all schools share."""

    parts: Sequence[Assignment]
    shared: SharedRollouts
    number: int | None
    """Of the shared facts; see `central.schools.shared_facts`."""


def rollouts_look(node: Node) -> Look:
    """Return what is to be found for the node now; its rollouts are what all threads have, and are only read."""
    parts, number = list(node.assignments.order_by("pk")), facts_number()
    shared = rollouts_shared.at(number)
    return Look(parts=_attached(parts, shared), shared=shared, number=number)


def parts_locked(node: Node, shared: SharedRollouts) -> list[Assignment]:
    """Return the node's parts in their order, which nobody else changes until the transaction ends."""
    return _attached(list(node.assignments.locked()), shared)


def _attached(parts: list[Assignment], shared: SharedRollouts) -> list[Assignment]:
    missing = {part.rollout_id for part in parts} - shared.newest.keys()
    rollouts = Rollout.objects.select_related("release__base").defer(*bulky("release", "release__base"))
    found = {**shared.newest, **rollouts.in_bulk(missing)} if missing else shared.newest
    for part in parts:
        part.rollout = found[part.rollout_id]
        if part.wave_id in shared.waves:
            part.wave = shared.waves[part.wave_id]
    return parts


def facts_for(node: Node, started: Sequence[StartedRollout]) -> SchoolFacts:
    """Return what is known of the node, as far as `started` choose by it."""
    return node_facts(node, has_tags=any(each.target.tags for each in started))


def started_after(started: Sequence[StartedRollout], last: Rollout | None) -> Sequence[StartedRollout]:
    """Return those of `started` that started after `last`: of two for a school, the one that started last counts."""
    if last is None:
        return started
    return list(takewhile(lambda each: _place(each.rollout) > _place(last), started))


def _place(rollout: Rollout) -> tuple[float, int]:
    return (rollout.started_at.timestamp() if rollout.started_at else 0.0, rollout.pk)


def _read() -> SharedRollouts:
    rows = Rollout.objects.filter(status__in=_STARTED).order_by("-started_at", "-pk")
    with_release = rows.select_related("release__base").defer(*bulky("release", "release__base"))
    newest = {
        each.pk: each for each in with_release.prefetch_related("release__variants", "release__base__variants")[:_KEPT]
    }
    waves = {wave.pk: wave for wave in Wave.objects.filter(rollout__in=newest)}
    revoked = Release.objects.filter(status=ReleaseStatus.REVOKED).exclude(digest="").values_list("digest", flat=True)
    joinable = list(with_release.joinable()[:LOOKED_THROUGH])
    under_way = list(with_release.under_way()[:LOOKED_THROUGH])
    # Those that run are among both.
    started = {pk: _with_waves(each) for pk, each in {each.pk: each for each in (*joinable, *under_way)}.items()}
    return SharedRollouts(
        newest=newest,
        waves=waves,
        joinable=[started[each.pk] for each in joinable],
        under_way=[started[each.pk] for each in under_way],
        revoked=frozenset(revoked),
        programs=programs_offered(),
    )


def _with_waves(rollout: Rollout) -> StartedRollout:
    waves = list(rollout.waves.prefetch_related("schools"))
    return StartedRollout(
        rollout=rollout, target=rollout.target(), waves=waves, scopes=[wave.scope() for wave in waves]
    )


rollouts_shared = SharedFacts(_read)
