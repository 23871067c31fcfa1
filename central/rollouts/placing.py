"""Reads what the pure rules of targets and waves need to know; decides and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Exists, OuterRef, QuerySet

from central.rollouts.membership import WaveScope, node_place, wave_bounds, wave_of
from central.rollouts.models import ON_THE_WAY, Assignment, AssignmentStatus, Rollout, Wave
from central.rollouts.targeting import SchoolFacts
from central.schools.hardware_class import hardware_class
from central.schools.models import Node
from federation.wire.canonical import from_plain
from federation.wire.enrolment import Hardware


def facts_of(nodes: QuerySet[Node]) -> list[SchoolFacts]:
    """Return what is known of each of `nodes`, in a number of queries that does not depend on how many there are."""
    return [node_facts(node) for node in nodes.select_related("school").prefetch_related("school__tags")]


def node_facts(node: Node) -> SchoolFacts:
    """Return what is known of the node."""
    return SchoolFacts(
        node_id=str(node.pk),
        school_id=node.school_id,
        region=node.school.region,
        district=node.school.district,
        kind=node.school.kind,
        hardware=hardware_class(from_plain(Hardware, node.hardware) if node.hardware else None),
        tags=frozenset(tag.name for tag in node.school.tags.all()),
    )


def bounds_of(rollout: Rollout, facts: Iterable[SchoolFacts]) -> dict[int, float]:
    """Return the bounds that the waves of `rollout` have for the nodes of `facts`."""
    waves = list(rollout.waves.prefetch_related("schools"))
    named = {school.pk for wave in waves for school in wave.schools.all()}
    target = rollout.target()
    places = [
        node_place(node_id=each.node_id, rollout_id=rollout.pk)
        for each in facts
        if target.admits(each) and each.school_id not in named
    ]
    return wave_bounds([wave.size() for wave in waves], places=places)


def planned_wave(rollout: Rollout, facts: SchoolFacts) -> int | None:
    """Return the wave of one node of a rollout that has started, or None where none is for it."""
    if not rollout.target().admits(facts):
        return None
    scopes = scopes_about(rollout, facts.school_id)
    return wave_of(node_id=facts.node_id, school_id=facts.school_id, rollout_id=rollout.pk, waves=scopes)


def scopes_about(rollout: Rollout, school_id: int) -> list[WaveScope]:
    """Return whom each wave is for as far as one school is concerned; a list of thousands is not read for that."""
    link = Wave.schools.through.objects.filter(wave=OuterRef("pk"), school=school_id)
    waves = rollout.waves.annotate(is_named=Exists(link)).values_list("number", "is_named", "place_below")
    return [
        WaveScope(number=number, school_ids=frozenset({school_id} if is_named else ()), place_below=place_below)
        for number, is_named, place_below in waves
    ]


def nodes_free_for(rollout: Rollout) -> QuerySet[Node]:
    """Return the active nodes that have no part in the rollout yet, and none in one that started after it."""
    taken = rollout.assignments.values("node")
    return Node.objects.active().exclude(pk__in=taken).exclude(pk__in=nodes_bound_elsewhere(rollout).values("node"))


def nodes_bound_elsewhere(rollout: Rollout) -> QuerySet[Assignment]:
    """Return the parts of nodes that belong to a rollout which started after this one; none before it has started."""
    if rollout.started_at is None:
        return Assignment.objects.none()
    return Assignment.objects.filter(
        rollout__in=Rollout.objects.after(rollout), status__in=(*ON_THE_WAY, AssignmentStatus.COMMITTED)
    )
