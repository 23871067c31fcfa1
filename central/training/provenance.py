"""Where an adapter comes from, as its card says it: signed with the release, and shown in the admin.

Schools are counted by region and never named. The digests of their updates travel beside it (protocol §6.7).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from central.training.combine import Combined
from central.training.models import Round
from central.training.plans import season_version, settings_of


def provenance(*, round_: Round, combined: Combined) -> dict[str, Any]:
    """Return what the card of the round's adapter says."""
    season, start = round_.season, combined.start
    updates = list(round_.updates.accepted().select_related("node__school"))
    return {
        "season": season.season_id,
        "round": round_.number,
        "rounds": [*_rounds_before(start), round_.number],
        "version": season_version(season) + 1,
        "scheme": str(season.scheme),
        "mode": str(season.mode),
        "mode_settings": season.mode_settings,
        "base": season.base.digest,
        "start": start.release.digest if start and start.release else "",
        "rank": settings_of(season).rank,
        "updates": len(updates),
        "labels": sum(update.labels for update in updates),
        "schools": _counted(update.node.school.region for update in updates),
        "staleness": _counted(str(update.staleness) for update in updates),
        **combined.figures,
    }


def _rounds_before(start: Round | None) -> list[int]:
    card: Mapping[str, Any] = start.release.card if start and start.release else {}
    return list(card.get("rounds", [start.number] if start else []))


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))
