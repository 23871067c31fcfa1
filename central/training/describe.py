"""A round as commands print it for programs."""

from __future__ import annotations

from typing import Any

from central.training.models import Round, UpdateStatus


def round_describe(round_: Round) -> dict[str, Any]:
    """Return what a program may want to know of `round_`."""
    updates = list(round_.updates.select_related("node__school"))
    return {
        "plan_id": round_.plan_id,
        "status": str(round_.status),
        "wanted": round_.wanted,
        "accepted": sum(update.status == UpdateStatus.ACCEPTED for update in updates),
        "refused": sum(update.status == UpdateStatus.REFUSED for update in updates),
        "updates": [
            {
                "node_id": str(update.node_id),
                "school": update.node.school.name,
                "status": str(update.status),
                "code": update.code,
                "labels": update.labels,
                "digest": update.digest,
                "size_bytes": update.size_bytes,
            }
            for update in updates
        ],
        "why_ended": round_.why_ended,
        "flwr_run_id": round_.flwr_run_id,
        "release": round_.release.digest if round_.release else None,
        "release_version": round_.release.version if round_.release else None,
        "release_status": str(round_.release.status) if round_.release else None,
        "release_why": round_.release.why if round_.release else None,
        "release_stage": round_.release.stage if round_.release else None,
        "release_share": round_.release.stage_share if round_.release else None,
    }
