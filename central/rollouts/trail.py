"""A rollout's trail in words: who moved it or one of its waves, from where to where, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext

from central.rollouts.models import Rollout, RolloutStatus, Wave, WaveStatus
from central.rollouts.words import reason_words
from central.schools.models import AuditEvent
from central.schools.reach import entity_of

MOST_ROWS = 200
_BUDGET = "budget "


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailRow:
    """One row of the audit in the reader's words."""

    at: datetime
    actor: str
    what: str
    old: str
    new: str
    why: str


def rollout_trail(rollout: Rollout, waves: Sequence[Wave]) -> list[TrailRow]:
    """Return what has happened to the rollout and its waves, the newest first; of single schools nothing."""
    names = {entity_of(wave): gettext("wave %(wave)s") % {"wave": wave} for wave in waves}
    names[entity_of(rollout)] = gettext("rollout")
    events = AuditEvent.objects.filter(entity__in=list(names)).order_by("-pk")[:MOST_ROWS]
    return [_row(event, names) for event in events]


def _row(event: AuditEvent, names: Mapping[str, str]) -> TrailRow:
    statuses = RolloutStatus if event.entity.startswith("rollouts.rollout") else WaveStatus
    labels = {status.value: str(status.label) for status in statuses}
    return TrailRow(
        at=event.at,
        actor=gettext("the centre itself") if event.actor == "centre" else event.actor,
        what=names[event.entity],
        old=_state(event.old, labels),
        new=_state(event.new, labels),
        why=reason_words(event.reason),
    )


def _state(code: str, labels: Mapping[str, str]) -> str:
    if code.startswith(_BUDGET):
        return gettext("failures allowed: %(count)s") % {"count": code.removeprefix(_BUDGET)}
    return labels.get(code, code)
