"""Says to each node, signed, what it should run; a new word gets a higher sequence, the same word the same bytes.

A word that an earlier director's key has signed is said anew: nodes believe the key in force alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from central.releases.models import Release
from central.rollouts.membership import wave_of
from central.rollouts.models import (
    GONE,
    ON_THE_WAY,
    Assignment,
    AssignmentStatus,
    Directive,
    Rollout,
    RolloutStatus,
    Wave,
)
from central.rollouts.variants import variant_for
from central.rollouts.way_back import way_back
from central.schools.models import Node
from central.schools.transitions import status_move
from federation.trust.envelopes import ASSIGNMENT, envelope_key_ids, envelope_seal
from federation.trust.keys import DirectorKey, key_id
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import Assignment as AssignmentDocument
from federation.wire.releases import InstallReport

ACTOR = "centre"
MAX_SEQUENCE = 2**62
_STAYS_BECAUSE = {
    AssignmentStatus.REVERTED: "reverted_here",
    AssignmentStatus.FAILED_VERIFY: "verify_failed_here",
    AssignmentStatus.SKIPPED: "skipped_here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a node should be told; an empty `release` means: stay as you are, because of `waiting_reason`."""

    release: str = ""
    rollout: str = ""
    wave: int = 0
    waiting_reason: str = ""
    variant: str = ""


def assignment_make(*, node: Node, wave: Wave, now: datetime) -> Assignment:
    """Return the node's new part in the wave's rollout; whatever it was still on the way to is superseded."""
    with transaction.atomic():
        for older in node.assignments.on_the_way():
            status_move(older, to=AssignmentStatus.SUPERSEDED, actor=ACTOR, now=now, ended_at=now)
        return Assignment.objects.create(rollout=wave.rollout, wave=wave, node=node, created_at=now)


def assignment_for(*, node: Node, key: DirectorKey, now: datetime, seen_sequence: int = 0) -> bytes:
    """Return the director's signed word to `node`; with it, a pending assignment counts as offered.

    Its sequence is never below `seen_sequence`, the highest that the node has seen: a centre that was restored from a
    backup is heard again.
    """
    with transaction.atomic():
        Node.objects.select_for_update().get(pk=node.pk)
        assignment = _newest_assignment(node)
        word = _word_for(node, assignment)
        directive = _directive_keep(node, word, key, now, min(seen_sequence, MAX_SEQUENCE))
        if assignment is not None and directive.release and assignment.status == AssignmentStatus.PENDING:
            _offer(assignment, directive, directive.sequence, now)
    return bytes(directive.envelope)


def assignment_word(*, node: Node, key: DirectorKey, now: datetime) -> Directive:
    """Return the director's signed word to `node`, which may never arrive: nothing counts as offered by it."""
    with transaction.atomic():
        Node.objects.select_for_update().get(pk=node.pk)
        return _directive_keep(node, _word_for(node, _newest_assignment(node)), key, now)


def assignment_heard(*, node: Node, reports: Sequence[InstallReport], now: datetime) -> None:
    """Let a pending assignment count as offered, if a report on its release proves that the node has heard of it.

    Called before anything else of the node's check-in is recorded: `node.running` is still what it ran before.
    """
    with transaction.atomic():
        directive = Directive.objects.filter(node=node).first()
        assignment = _newest_assignment(node)
        if directive is None or assignment is None or assignment.status != AssignmentStatus.PENDING:
            return
        heard = [
            report.sequence
            for report in reports
            if report.release == assignment.rollout.release.digest and 1 <= report.sequence <= directive.sequence
        ]
        if heard:
            _offer(assignment, directive, min(heard), now)


def _offer(assignment: Assignment, directive: Directive, sequence: int, now: datetime) -> None:
    status_move(
        assignment,
        to=AssignmentStatus.OFFERED,
        actor=ACTOR,
        now=now,
        sequence=sequence,
        variant=directive.variant,
        offered_at=now,
        previous_release=assignment.node.running,
    )


def _newest_assignment(node: Node) -> Assignment | None:
    chosen = node.assignments.exclude(status__in=GONE).select_related("rollout__release__base", "wave")
    return chosen.order_by("-rollout_id").first()


def _word_for(node: Node, assignment: Assignment | None) -> Word:
    word = _word_of_rollout(node, assignment)
    before = None if word.release else way_back(node=node)
    if before is None:
        return word
    variant = variant_for(node=node, release=before)
    return replace(word, release=before.digest, waiting_reason="release_revoked", variant=variant)


def _word_of_rollout(node: Node, assignment: Assignment | None) -> Word:
    if assignment is None:
        return Word(waiting_reason=_why_nothing_newer(node, 0) or "no_rollout")
    rollout = assignment.rollout
    place = Word(rollout=str(rollout.pk), wave=assignment.wave.number)
    if assignment.status in _STAYS_BECAUSE:
        return replace(place, waiting_reason=_STAYS_BECAUSE[AssignmentStatus(assignment.status)])
    if rollout.status == RolloutStatus.ROLLING_BACK:
        before = Release.objects.filter(digest=assignment.previous_release).select_related("base").first()
        variant = variant_for(node=node, release=before) if before else ""
        return replace(place, release=assignment.previous_release, waiting_reason="rolling_back", variant=variant)
    if not rollout.release.is_in_force:
        return replace(place, waiting_reason="release_revoked")
    if rollout.status == RolloutStatus.PAUSED and assignment.status in ON_THE_WAY:
        return replace(place, waiting_reason="rollout_paused")
    # Once offered it stays: a node that has half of one variant is not told to begin another.
    is_offered = assignment.sequence is not None
    variant = assignment.variant if is_offered else variant_for(node=node, release=rollout.release)
    waiting_reason = _why_nothing_newer(node, rollout.pk)
    return replace(place, release=rollout.release.digest, waiting_reason=waiting_reason, variant=variant)


def _why_nothing_newer(node: Node, after: int) -> str:
    """Return why no rollout later than `after` offers the node anything, or an empty text where there is none."""
    under_way = (RolloutStatus.RUNNING, RolloutStatus.PAUSED)
    rollout = Rollout.objects.filter(status__in=under_way, pk__gt=after).order_by("-pk").first()
    if rollout is None:
        return ""
    number = wave_of(node_id=str(node.pk), school_id=node.school_id, rollout_id=rollout.pk, waves=rollout.scopes())
    if number is None:
        return "not_in_a_wave"
    return "rollout_paused" if rollout.status == RolloutStatus.PAUSED else "wave_not_open"


def _directive_keep(node: Node, word: Word, key: DirectorKey, now: datetime, seen_sequence: int = 0) -> Directive:
    held = Directive.objects.filter(node=node).first()
    is_signed = held is not None and key_id(key) in envelope_key_ids(bytes(held.envelope))
    if held is not None and is_signed and word == _word_of(held) and held.sequence >= seen_sequence:
        return held
    sequence = max(held.sequence if held else 0, seen_sequence) + 1
    document = AssignmentDocument(
        node_id=str(node.pk),
        sequence=sequence,
        release=word.release or None,
        rollout=word.rollout,
        wave=word.wave,
        waiting_reason=word.waiting_reason,
        issued_at=now,
        variant=word.variant,
    )
    envelope = envelope_seal(payload=canonical_bytes(document), kind=ASSIGNMENT, key=key)
    directive, _ = Directive.objects.update_or_create(
        node=node,
        defaults={
            "sequence": sequence,
            "release": word.release,
            "rollout": word.rollout,
            "wave": word.wave,
            "waiting_reason": word.waiting_reason,
            "variant": word.variant,
            "envelope": envelope,
            "issued_at": now,
        },
    )
    return directive


def _word_of(directive: Directive) -> Word:
    return Word(
        release=directive.release,
        rollout=directive.rollout,
        wave=directive.wave,
        waiting_reason=directive.waiting_reason,
        variant=directive.variant,
    )
