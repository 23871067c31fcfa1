"""Where each correction of a teacher has got to: waiting, sent, in a round, shipped in a release.

A correction has shipped when a release that this node knows lists, among its contributions, the digest of an update
that was learnt from the correction. Reads only; decides nothing.
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
from node.outbox.models import Parcel
from node.ratings.models import Rating
from node.rounds.models import LocalUpdate


class Stage(enum.Enum):
    """How far a correction is, in the order of the journey."""

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
    is_quarantined: bool


def corrections_progress(*, teacher_id: int, root: Path) -> tuple[CorrectionProgress, ...]:
    """Return the teacher's active ratings with corrections, newest first, each with its stage."""
    ratings = list(Rating.objects.corrections().filter(teacher_id=teacher_id).select_related("answer").reverse())
    parcels = {
        (parcel.record_id, parcel.revision): parcel
        for parcel in Parcel.objects.filter(record_id__in=[rating.record_id for rating in ratings])
    }
    updates = list(LocalUpdate.objects.counting())
    shipped = shipped_versions(root=root)
    return tuple(
        _progress(rating, parcels.get((rating.record_id, rating.revision)), updates, shipped) for rating in ratings
    )


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
    rating: Rating, parcel: Parcel | None, updates: list[LocalUpdate], shipped: dict[str, int]
) -> CorrectionProgress:
    learnt = [update for update in updates if rating.record_id in update.record_ids]
    versions = [shipped[update.sha256] for update in learnt if update.sha256 in shipped]
    is_sent = parcel is not None and parcel.is_acknowledged
    return CorrectionProgress(
        rating=rating,
        stage=_stage(is_sent=is_sent, learnt=learnt, has_shipped=bool(versions)),
        release_version=min(versions, default=0),
        is_quarantined=bool(parcel and parcel.quarantine_code),
    )


def _stage(*, is_sent: bool, learnt: list[LocalUpdate], has_shipped: bool) -> Stage:
    if has_shipped:
        return Stage.SHIPPED
    if any(update.status == LocalUpdate.Status.ACCEPTED for update in learnt):
        return Stage.IN_ROUND
    if learnt:
        return Stage.LEARNT
    return Stage.SENT if is_sent else Stage.WAITING
