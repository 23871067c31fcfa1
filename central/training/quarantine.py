"""Sets updates that stand apart from their round aside until a person has looked; nothing is dropped silently.

Only robust seasons compare updates with one another: a private one must not (`federation.learning.modes.private`), and
a plain one promises nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction

from central.disk import CentreDisk
from central.schools.transitions import status_move
from central.training.errors import SeasonClosed, UpdateOutlier
from central.training.kept_updates import contribution_stored
from central.training.models import Round, RoundStatus, SeasonMode, Update, UpdateStatus
from central.training.plans import settings_of
from central.training.probe import Probe, probe_measured, updates_try
from central.training.seasons import season_lock
from central.training.services import update_forget
from federation.learning.modes.inner_products import inner_products
from federation.learning.modes.outliers import (
    Claims,
    KnownGains,
    OutlierFigures,
    OutlierLimits,
    OutlierReason,
    outliers_judge,
    outliers_measure,
)
from federation.wire.canonical import from_plain
from federation.wire.rounds import LocalScores

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
LIMITS = OutlierLimits()


def round_screen(*, round_: Round, disk: CentreDisk, now: datetime, probe: Probe = probe_measured) -> frozenset[int]:
    """Have every accepted update of a robust season's round looked at, and return their keys.

    Those that stand apart are in quarantine afterwards, with the reasons; each carries its figures. One that a person
    has released is compared with the others, and stays. `probe` tries them on corrections that the centre knows.

    Raises:
        MalformedUpdate, MalformedDocument: the disk no longer holds what was accepted.
        ProbeFailed: they cannot be tried.
        AdapterDamaged: the adapter that they would be tried on is not what was released.
    """
    found = _accepted(round_)
    looked_at = frozenset(update.pk for update in found)
    if not found or round_.season.mode != SeasonMode.ROBUST:
        return looked_at
    updates_try(round_=round_, updates=found, disk=disk, probe=probe)
    # That takes minutes, in which a school may have withdrawn; what came meanwhile has not been tried.
    updates = [update for update in _accepted(round_) if update.pk in looked_at]
    if not updates:
        return looked_at
    precision = settings_of(round_.season).precision
    table = inner_products([contribution_stored(update, precision, disk) for update in updates])
    known = [KnownGains(own=each.figures.get("own_gain"), others=each.figures.get("others_gain")) for each in updates]
    figures = outliers_measure(table, [_claims(update) for update in updates], known)
    reasons = outliers_judge(figures, LIMITS)
    for update, each in zip(updates, figures, strict=True):
        _note(update, each, reasons.get(each.node_id, ()), now)
    return looked_at


def update_release(*, update: Update, actor: str, reason: str, now: datetime) -> None:
    """Let a quarantined update count: in its own round if that still collects, else in the one that does.

    Raises:
        SeasonClosed: no round of its season collects any more.
        StatusMoveIllegal, StatusConflict: it is not in quarantine.
    """
    with transaction.atomic():
        season = season_lock(update.plan.season_id)
        collecting = season.rounds.filter(status=RoundStatus.COLLECTING).first()
        if collecting is None:
            raise SeasonClosed(season_id=season.season_id)
        figures = {**update.figures, "released_by": actor}
        status_move(
            update,
            to=UpdateStatus.ACCEPTED,
            actor=actor,
            reason=reason,
            now=now,
            code="",
            round=collecting,
            figures=figures,
        )


def update_reject(*, update: Update, disk: CentreDisk, actor: str, reason: str, now: datetime) -> None:
    """Refuse a quarantined update for good; what it was set aside for stays in its row, and its bytes go.

    Raises:
        StatusMoveIllegal, StatusConflict: it is not in quarantine.
    """
    with transaction.atomic():
        status_move(update, to=UpdateStatus.REFUSED, actor=actor, reason=reason, now=now)
        # Nothing asks for them again, and a school that withdraws later must find none of its bytes kept.
        transaction.on_commit(lambda: update_forget(update=update, disk=disk))


def _accepted(round_: Round) -> list[Update]:
    return list(round_.updates.accepted().select_related("plan", "node").defer("plan__envelope"))


def _note(update: Update, figures: OutlierFigures, reasons: Sequence[OutlierReason], now: datetime) -> None:
    kept: dict[str, Any] = {**update.figures, **asdict(figures), "reasons": [reason.value for reason in reasons]}
    del kept["node_id"]
    if not reasons or "released_by" in update.figures:
        # It may have been withdrawn meanwhile: then its figures are of no use to anyone.
        Update.objects.filter(pk=update.pk, status=UpdateStatus.ACCEPTED).update(figures=kept)
        return
    why = ", ".join(kept["reasons"])
    LOGGER.warning("update %s of node %s stands apart: %s", update.digest[:12], update.node_id, why)
    status_move(
        update,
        to=UpdateStatus.QUARANTINED,
        actor=ACTOR,
        reason=why,
        now=now,
        code=UpdateOutlier.code,
        figures=kept,
    )


def _claims(update: Update) -> Claims:
    return Claims(
        node_id=str(update.node_id),
        loss_before=update.loss_before or 0.0,
        loss_after=update.loss_after or 0.0,
        scores=from_plain(LocalScores, update.scores) if update.scores else None,
    )
