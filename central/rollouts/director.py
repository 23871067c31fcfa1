"""Says to each node, signed, what it should run; a new word gets a higher sequence, the same word the same bytes.

A word that an earlier director's key has signed is said anew: nodes believe the key in force alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time

from django.db import transaction

from central.programs.offered import program_for
from central.releases.models import Release, bulky
from central.rollouts.models import (
    GONE,
    ON_THE_WAY,
    Assignment,
    AssignmentQuerySet,
    AssignmentStatus,
    Directive,
    Rollout,
    RolloutStatus,
)
from central.rollouts.shared import (
    Look,
    SharedRollouts,
    facts_for,
    parts_locked,
    rollouts_look,
    rollouts_shared,
    started_after,
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
_TAKEN_BACK = (RolloutStatus.ROLLING_BACK, RolloutStatus.ROLLED_BACK)
_STAYS_BECAUSE = {
    AssignmentStatus.REVERTED: "reverted_here",
    AssignmentStatus.FAILED_VERIFY: "verify_failed_here",
    AssignmentStatus.SKIPPED: "skipped_here",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOver:
    """When a node may change over to its release; a rollout's never changes once it has started."""

    is_forced: bool = False
    activates_at: datetime | None = None
    opens_at: time | None = None
    closes_at: time | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a node should be told; an empty `release` means: stay as you are, because of `waiting_reason`."""

    release: str = ""
    rollout: str = ""
    wave: int = 0
    waiting_reason: str = ""
    variant: str = ""
    program: str = ""
    # The rollout and the release say it all: a word that says these again is the same word.
    change_over: ChangeOver = field(default_factory=ChangeOver, compare=False)


def assignment_for(*, node: Node, look: Look, key: DirectorKey, now: datetime, seen_sequence: int = 0) -> bytes:
    """Return the director's signed word to `node`; with it, a pending assignment counts as offered.

    Its sequence is never below `seen_sequence`, the highest that the node has seen: a centre that was restored from a
    backup is heard again.
    """
    seen_sequence = min(seen_sequence, MAX_SEQUENCE)
    said = _said_already(node, key, seen_sequence, look)
    if said is not None:
        return bytes(said.envelope)
    with transaction.atomic():
        _node_lock(node)
        assignment = _newest_locked(node, look.shared)
        word = _word_for(node, assignment, look.shared)
        directive = _directive_keep(node, word, key, now, seen_sequence)
        if assignment is not None and directive.release and assignment.status == AssignmentStatus.PENDING:
            _offer(assignment, directive, directive.sequence, now)
    return bytes(directive.envelope)


def assignment_word(*, node: Node, key: DirectorKey, now: datetime) -> Directive:
    """Return the director's signed word to `node`, which may never arrive: nothing counts as offered by it."""
    shared = rollouts_shared.now()
    with transaction.atomic():
        _node_lock(node)
        return _directive_keep(node, _word_for(node, _newest_locked(node, shared), shared), key, now)


def assignment_heard(*, node: Node, reports: Sequence[InstallReport], look: Look, now: datetime) -> Look:
    """Let a part count as offered, if a report on its release proves that the node has heard of it by letter.

    Also one that was cancelled meanwhile, because its rollout is taken back: else the node would never hear of that.
    Called before anything else of the node's check-in is recorded: `node.running` is still what it ran before. Returns
    what a look finds then.
    """
    reported = {report.release for report in reports}
    meant = [part for part in look.parts if _may_be_heard(part) and part.rollout.release.digest in reported]
    if not meant:
        return look
    with transaction.atomic():
        directive = Directive.objects.filter(node=node).first()
        if directive is None:
            return look
        part = _with_rollout(node.assignments.locked()).get(pk=meant[-1].pk)
        heard = [
            report.sequence
            for report in reports
            if report.release == part.rollout.release.digest and 1 <= report.sequence <= directive.sequence
        ]
        if heard and part.status == AssignmentStatus.PENDING:
            _offer(part, directive, min(heard), now)
        elif heard and _may_be_heard(part):
            facts = {"sequence": min(heard), "offered_at": now, "previous_release": part.node.running}
            node.assignments.filter(pk=part.pk).update(**facts)
    return rollouts_look(node)


def _may_be_heard(part: Assignment) -> bool:
    is_taken_back = part.status == AssignmentStatus.CANCELLED and part.rollout.status in _TAKEN_BACK
    return part.status == AssignmentStatus.PENDING or (is_taken_back and part.sequence is None)


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


def _node_lock(node: Node) -> None:
    # Of two contacts of one node the second waits. Rows that refer to the node may be made meanwhile, by a tick.
    Node.objects.select_for_update(no_key=True).get(pk=node.pk)


def _newest_of(parts: Sequence[Assignment]) -> Assignment | None:
    """Return the newest of the node's parts that counts; one that was cancelled does while it is taken back."""
    return next((part for part in reversed(parts) if _counts(part)), None)


def _counts(part: Assignment) -> bool:
    is_taken_back = part.status == AssignmentStatus.CANCELLED and part.sequence is not None
    return part.status not in GONE or (is_taken_back and part.rollout.status in _TAKEN_BACK)


def _with_rollout(parts: AssignmentQuerySet) -> AssignmentQuerySet:
    return parts.select_related("rollout__release__base", "wave").defer(
        *bulky("rollout__release", "rollout__release__base")
    )


def _newest_locked(node: Node, shared: SharedRollouts) -> Assignment | None:
    return _newest_of(parts_locked(node, shared))


def _said_already(node: Node, key: DirectorKey, seen_sequence: int, look: Look) -> Directive | None:
    """Return the node's newest word where there is nothing to change: most contacts end so, and lock nothing."""
    held = Directive.objects.filter(node=node).first()
    if held is None or not _holds(held, key, seen_sequence):
        return None
    assignment = _newest_of(look.parts)
    is_to_offer = assignment is not None and assignment.status == AssignmentStatus.PENDING and held.release
    return None if is_to_offer or _word_for(node, assignment, look.shared) != _word_of(held) else held


def _word_for(node: Node, assignment: Assignment | None, shared: SharedRollouts) -> Word:
    program = program_for(school_id=node.school_id, offered=shared.programs)
    return replace(_word_of_release(node, assignment, shared), program=program)


def _word_of_release(node: Node, assignment: Assignment | None, shared: SharedRollouts) -> Word:
    word = _word_of_rollout(node, assignment, shared)
    is_withdrawn = not word.release and node.running in shared.revoked
    before = way_back(node=node) if is_withdrawn else None
    if before is None:
        return word
    variant = variant_for(node=node, release=before)
    at_once = ChangeOver(is_forced=True)
    return replace(word, release=before.digest, waiting_reason="release_revoked", variant=variant, change_over=at_once)


def _word_of_rollout(node: Node, assignment: Assignment | None, shared: SharedRollouts) -> Word:
    if assignment is None:
        return Word(waiting_reason=_why_nothing_newer(node, None, shared) or "no_rollout")
    rollout = assignment.rollout
    place = Word(rollout=str(rollout.pk), wave=assignment.wave.number)
    if rollout.status in _TAKEN_BACK:
        return _word_back(node, assignment, place)
    if assignment.status in _STAYS_BECAUSE:
        return replace(place, waiting_reason=_STAYS_BECAUSE[AssignmentStatus(assignment.status)])
    if not rollout.is_offerable:
        return replace(place, waiting_reason="release_revoked")
    if rollout.status == RolloutStatus.PAUSED and assignment.status in ON_THE_WAY:
        return replace(place, waiting_reason="rollout_paused")
    # Once offered it stays: a node that has half of one variant is not told to begin another.
    is_offered = assignment.sequence is not None
    variant = assignment.variant if is_offered else variant_for(node=node, release=rollout.release)
    waiting_reason = _why_nothing_newer(node, rollout, shared)
    return replace(
        place,
        release=rollout.release.digest,
        waiting_reason=waiting_reason,
        variant=variant,
        change_over=ChangeOver(
            is_forced=rollout.is_forced,
            activates_at=rollout.activates_at,
            opens_at=rollout.window_opens_at,
            closes_at=rollout.window_closes_at,
        ),
    )


def _word_back(node: Node, assignment: Assignment, place: Word) -> Word:
    """Return the word that takes a release back: what the node ran before, at once, whatever has become of it here."""
    before = Release.objects.filter(digest=assignment.previous_release).select_related("base").first()
    if before is None or not before.is_in_force:
        return replace(place, waiting_reason="rolling_back")
    variant = variant_for(node=node, release=before)
    back = ChangeOver(is_forced=True)
    return replace(place, release=before.digest, waiting_reason="rolling_back", variant=variant, change_over=back)


def _why_nothing_newer(node: Node, after: Rollout | None, shared: SharedRollouts) -> str:
    """Return why no rollout that started after `after` offers the node anything, or an empty text where none did."""
    rollouts = started_after(shared.under_way, after)
    if not rollouts:
        return ""
    facts = facts_for(node, rollouts)
    for each in rollouts:
        if each.planned_wave(facts) is not None:
            return "rollout_paused" if each.rollout.status == RolloutStatus.PAUSED else "wave_not_open"
    return "not_in_a_wave"


def _directive_keep(node: Node, word: Word, key: DirectorKey, now: datetime, seen_sequence: int = 0) -> Directive:
    held = Directive.objects.filter(node=node).first()
    if held is not None and _holds(held, key, seen_sequence) and word == _word_of(held):
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
        is_forced=word.change_over.is_forced,
        activates_at=word.change_over.activates_at,
        opens_minute=_minute(word.change_over.opens_at),
        closes_minute=_minute(word.change_over.closes_at),
        program=word.program,
    )
    envelope = envelope_seal(payload=canonical_bytes(document), kind=ASSIGNMENT, key=key)
    directive = held or Directive(node=node)
    directive.sequence, directive.envelope, directive.issued_at = sequence, envelope, now
    directive.release, directive.variant, directive.waiting_reason = word.release, word.variant, word.waiting_reason
    directive.rollout, directive.wave, directive.program = word.rollout, word.wave, word.program
    # The node is locked: nobody else makes or changes its row.
    directive.save(force_insert=held is None, force_update=held is not None)
    return directive


def _holds(held: Directive, key: DirectorKey, seen_sequence: int) -> bool:
    """Tell whether the node believes the word: its key is in force, and its number is not below what was seen."""
    return held.sequence >= seen_sequence and key_id(key) in envelope_key_ids(bytes(held.envelope))


def _minute(at: time | None) -> int | None:
    return None if at is None else at.hour * 60 + at.minute


def _word_of(directive: Directive) -> Word:
    return Word(
        release=directive.release,
        rollout=directive.rollout,
        wave=directive.wave,
        waiting_reason=directive.waiting_reason,
        variant=directive.variant,
        program=directive.program,
    )
