"""Where each correction of a teacher has got to: held, waiting, sent, in a round, shipped in a release.

A correction has shipped when a release that this node knows lists, among its contributions, the digest of an update
that was learnt from the correction. Beside it stands what the model answered the teacher last to that question. Reads
only; decides nothing.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from federation.errors import FederationError
from federation.trust.release_bytes import index_digest, index_parse
from federation.wire.releases import ReleaseIndex
from node.chat.models import Answer
from node.outbox.models import Parcel
from node.ratings.models import Rating, Sharing
from node.rounds.models import LocalUpdate


class Stage(enum.Enum):
    """How far a correction is, in the order of the journey."""

    HELD = "held"
    WAITING = "waiting"
    SENT = "sent"
    LEARNT = "learnt"
    IN_ROUND = "in_round"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionProgress:
    """One correction and how far it is; `release_version` counts from 1 once it shipped."""

    rating: Rating
    stage: Stage
    release_version: int
    is_sent: bool
    is_quarantined: bool
    now: Answer | None
    """The newest answer that the teacher got to the question since the correction."""


def corrections_progress(*, teacher_id: int, root: Path) -> tuple[CorrectionProgress, ...]:
    """Return the teacher's active ratings with corrections, newest first, each with its stage."""
    ratings = list(Rating.objects.corrections().filter(teacher_id=teacher_id).select_related("answer__turn").reverse())
    parcels = {
        (parcel.record_id, parcel.revision): parcel
        for parcel in Parcel.objects.filter(record_id__in=[rating.record_id for rating in ratings])
    }
    updates = list(LocalUpdate.objects.counting())
    shipped = shipped_versions(root=root)
    answers = _answers_now(teacher_id, ratings)
    return tuple(
        _progress(
            rating,
            parcels.get((rating.record_id, rating.revision)),
            updates,
            shipped,
            answers.get(rating.answer.turn.question),
        )
        for rating in ratings
    )


def _answers_now(teacher_id: int, ratings: list[Rating]) -> dict[str, Answer]:
    questions = {rating.answer.turn.question for rating in ratings}
    own = Answer.objects.filter(turn__conversation__person=teacher_id, turn__question__in=questions)
    finished = own.filter(status=Answer.Status.FINISHED).select_related("turn").order_by("finished_at")
    return {answer.turn.question: answer for answer in finished}


def shipped_versions(*, root: Path) -> dict[str, int]:
    """Return, for each update digest in a known release, the lowest version of a release that has it."""
    versions: dict[str, int] = {}
    for index in known_indexes(root):
        for digest in index.contributions:
            versions[digest] = min(index.version, versions.get(digest, index.version))
    return versions


def known_indexes(root: Path) -> Iterator[ReleaseIndex]:
    """Yield the index of each release that is installed or vouched for by the centre's metadata."""
    seen = set()
    for path in [*root.glob("releases/*/index.json"), *root.glob("tuf/indexes/*.json")]:
        try:
            index = index_parse(path.read_bytes())
        except (OSError, FederationError, json.JSONDecodeError):
            continue
        digest = index_digest(index)
        if digest not in seen:
            seen.add(digest)
            yield index


def _progress(
    rating: Rating,
    parcel: Parcel | None,
    updates: list[LocalUpdate],
    shipped: dict[str, int],
    now: Answer | None,
) -> CorrectionProgress:
    learnt = [update for update in updates if rating.record_id in update.record_ids]
    versions = [shipped[update.sha256] for update in learnt if update.sha256 in shipped]
    is_sent = parcel is not None and parcel.is_acknowledged
    return CorrectionProgress(
        rating=rating,
        stage=_stage(
            is_held=rating.sharing == Sharing.HELD, is_sent=is_sent, learnt=learnt, has_shipped=bool(versions)
        ),
        release_version=min(versions, default=0),
        is_sent=is_sent,
        is_quarantined=bool(parcel and parcel.quarantine_code),
        now=now if now and now.finished_at and now.finished_at > rating.rated_at else None,
    )


def _stage(*, is_held: bool, is_sent: bool, learnt: list[LocalUpdate], has_shipped: bool) -> Stage:
    if has_shipped:
        return Stage.SHIPPED
    if any(update.status == LocalUpdate.Status.ACCEPTED for update in learnt):
        return Stage.IN_ROUND
    if learnt:
        return Stage.LEARNT
    if is_held:
        return Stage.HELD
    return Stage.SENT if is_sent else Stage.WAITING
