"""Gives nodes their part in a rollout; whatever they were still on the way to is superseded."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction

from central.rollouts.membership import wave_of, wave_of_late
from central.rollouts.models import JOINABLE, Assignment, AssignmentStatus, Rollout, Wave, WaveStatus
from central.rollouts.placing import facts_of, nodes_free_for
from central.rollouts.shared import Look, StartedRollout, facts_for, rollouts_look, started_after
from central.rollouts.targeting import SchoolFacts
from central.schools.models import Node
from central.schools.transitions import statuses_move

ACTOR = "centre"
OPENED = (WaveStatus.OPEN, WaveStatus.SOAKING, WaveStatus.PASSED)


def wave_assign(*, wave: Wave, now: datetime) -> None:
    """Give every node of an opened wave its part."""
    rollout = wave.rollout
    target, scopes = rollout.target(), rollout.scopes()
    chosen = [
        UUID(facts.node_id)
        for facts in facts_of(nodes_free_for(rollout))
        if target.admits(facts)
        and wave.number
        == wave_of(node_id=facts.node_id, school_id=facts.school_id, rollout_id=rollout.pk, waves=scopes)
    ]
    assignments_make(node_ids=chosen, wave=wave, now=now)


def assignments_make(*, node_ids: Collection[UUID], wave: Wave, now: datetime) -> None:
    """Give the nodes their part in the wave's rollout."""
    with transaction.atomic():
        older = Assignment.objects.on_the_way().locked().filter(node__in=node_ids)
        statuses_move(list(older), to=AssignmentStatus.SUPERSEDED, actor=ACTOR, now=now, ended_at=now)
        Assignment.objects.bulk_create(
            [Assignment(rollout=wave.rollout, wave=wave, node_id=node, created_at=now) for node in node_ids],
            batch_size=500,
        )


def late_node_join(*, node: Node, look: Look, now: datetime) -> Look:
    """Give an active node its part in the newest rollout that is open to it and that has not considered it yet.

    Returns what a look finds then.
    """
    last = look.parts[-1].rollout if look.parts else None
    offerable = [each for each in started_after(look.shared.joinable, last) if each.rollout.is_offerable]
    if not offerable:
        return look
    facts = facts_for(node, offerable)
    for each in offerable:
        number = _number_for(node, facts, each)
        if number is not None and _join(node, each.rollout, number, now):
            return rollouts_look(node)
    return look


def _number_for(node: Node, facts: SchoolFacts, started: StartedRollout) -> int | None:
    planned = started.planned_wave(facts)
    if planned is None:
        return None
    opened = frozenset(wave.number for wave in started.waves if wave.status in OPENED)
    if not _is_late(node, started.rollout):
        return planned if planned in opened else None
    return wave_of_late(
        planned=planned,
        opened=opened,
        counted=frozenset(wave.number for wave in started.waves if wave.count),
        listed=frozenset(wave.number for wave in started.waves if not wave.count and not wave.percent),
    )


def _is_late(node: Node, rollout: Rollout) -> bool:
    if node.claimed_at is None or rollout.started_at is None:
        return False
    return node.claimed_at > rollout.started_at


def _join(node: Node, rollout: Rollout, number: int, now: datetime) -> bool:
    with transaction.atomic():
        # The tick may open a wave for this very node at the same moment: of the two, the second finds the row.
        locked = Rollout.objects.select_for_update(no_key=True).get(pk=rollout.pk)
        wave = locked.waves.filter(number=number, status__in=OPENED).first()
        if locked.status not in JOINABLE or wave is None or locked.assignments.filter(node=node).exists():
            return False
        assignments_make(node_ids=[node.pk], wave=wave, now=now)
        return True
