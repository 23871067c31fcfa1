"""Reads what the pure rules of targets and waves need to know; decides and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet

from central.rollouts.membership import node_place, wave_bounds
from central.rollouts.models import ON_THE_WAY, Assignment, AssignmentStatus, Rollout
from central.rollouts.targeting import SchoolFacts
from central.schools.hardware_class import hardware_class
from central.schools.models import Node
from federation.wire.canonical import from_plain
from federation.wire.enrolment import Hardware


def facts_of(nodes: QuerySet[Node]) -> list[SchoolFacts]:
    """Return what is known of each of `nodes`, in a number of queries that does not depend on how many there are."""
    return [node_facts(node) for node in nodes.select_related("school").prefetch_related("school__tags")]


def node_facts(node: Node, *, has_tags: bool = True) -> SchoolFacts:
    """Return what is known of the node; its school's tags only where `has_tags`, because they are asked for."""
    return SchoolFacts(
        node_id=str(node.pk),
        school_id=node.school_id,
        region=node.school.region,
        district=node.school.district,
        kind=node.school.kind,
        hardware=hardware_class(from_plain(Hardware, node.hardware) if node.hardware else None),
        tags=frozenset(tag.name for tag in node.school.tags.all()) if has_tags else frozenset(),
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
