"""A rollout as commands print it for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone

from central.rollouts.evidence import wave_counts
from central.rollouts.models import Rollout, Wave


def rollout_describe(rollout: Rollout) -> dict[str, Any]:
    """Return what a program may want to know of `rollout`."""
    return {
        "id": str(rollout.pk),
        "kind": str(rollout.kind),
        "status": str(rollout.status),
        "pause_reason": rollout.pause_reason,
        "release": rollout.release.digest,
        "created_by": rollout.created_by,
        "approved_by": rollout.approved_by,
        "waves": [_wave_describe(wave) for wave in rollout.waves.order_by("number")],
    }


def _wave_describe(wave: Wave) -> dict[str, Any]:
    assignments = wave.assignments.select_related("node__school")
    return {
        "number": wave.number,
        "name": wave.name,
        "status": str(wave.status),
        "verdict_reason": wave.verdict_reason,
        "counts": asdict(wave_counts(wave, now=timezone.now())),
        "quality": wave.quality,
        "assignments": [
            {
                "node_id": str(each.node_id),
                "school": each.node.school.name,
                "status": str(each.status),
                "error_code": each.error_code,
                "bytes_fetched": each.bytes_fetched,
            }
            for each in assignments
        ],
    }
