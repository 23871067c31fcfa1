"""Seasons and rounds as commands print them for programs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from central.training.models import Round, Season, Update, UpdateStatus
from central.training.plans import season_version


def season_describe(season: Season) -> dict[str, Any]:
    """Return what a program may want to know of `season`, its rounds oldest first."""
    return {
        "season_id": season.season_id,
        "status": str(season.status),
        "base": season.base.digest,
        "scheme": str(season.scheme),
        "mode": str(season.mode),
        "mode_settings": season.mode_settings,
        "version": season_version(season),
        "wanted": season.wanted,
        "why_closed": season.why_closed,
        "plans": [
            {"plan_id": plan.plan_id, "start": plan.start.digest if plan.start else "", "version": plan.version}
            for plan in season.plans.select_related("start").order_by("pk")
        ],
        "rounds": [round_describe(round_) for round_ in season.rounds.order_by("number")],
    }


def round_describe(round_: Round) -> dict[str, Any]:
    """Return what a program may want to know of `round_`."""
    updates = list(round_.updates.select_related("node__school", "plan").order_by("pk"))
    counted = Counter(update.status for update in updates)
    release = round_.release
    return {
        "round_id": round_.round_id,
        "season_id": round_.season.season_id,
        "number": round_.number,
        "status": str(round_.status),
        "wanted": round_.wanted,
        **{str(status): counted[status] for status in UpdateStatus},
        "updates": [_update_describe(update) for update in updates],
        "why_ended": round_.why_ended,
        "version": round_.version,
        "flwr_run_ids": list(round_.runs.values_list("flwr_run_id", flat=True)),
        "release": release.digest if release else None,
        "release_version": release.version if release else None,
        "release_status": str(release.status) if release else None,
        "release_why": release.why if release else None,
        "release_stage": release.stage if release else None,
        "release_share": release.stage_share if release else None,
    }


def _update_describe(update: Update) -> dict[str, Any]:
    return {
        "node_id": str(update.node_id),
        "school": update.node.school.name,
        "region": update.node.school.region,
        "plan_id": update.plan.plan_id,
        "status": str(update.status),
        "code": update.code,
        "labels": update.labels,
        "staleness": update.staleness,
        "digest": update.digest,
        "size_bytes": update.size_bytes,
    }
