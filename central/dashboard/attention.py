"""What waits for a person, on every station; what does not is not shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _

from central.dashboard.lists import Figure, Lists, place_of
from central.disk import CentreDisk
from central.feedback.models import CloneAlarm, ParcelStatus, ReceivedParcel
from central.releases.metadata_alarm import Alarm, alarms_read
from central.releases.models import Release, ReleaseStatus
from central.rollouts.models import Rollout, RolloutStatus, Wave, WaveStatus
from central.schools.models import Node, NodeStatus
from central.training.models import Update, UpdateStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Figures that somebody should look into, and alarms about the centre's own trust."""

    figures: list[Figure]
    alarms: tuple[Alarm, ...]


_STATUSES: tuple[tuple[Any, type[Model], str], ...] = (
    (_("rollouts are paused"), Rollout, RolloutStatus.PAUSED),
    (_("rollouts await approval"), Rollout, RolloutStatus.PENDING_APPROVAL),
    (_("waves are inconclusive"), Wave, WaveStatus.INCONCLUSIVE),
    (_("releases await a signature"), Release, ReleaseStatus.AWAITING_SIGNATURE),
    (_("builds failed"), Release, ReleaseStatus.BUILD_FAILED),
    (_("updates are in quarantine"), Update, UpdateStatus.QUARANTINED),
    (_("parcels are in quarantine"), ReceivedParcel, ParcelStatus.QUARANTINED),
    (_("school PCs wait to be activated"), Node, NodeStatus.CLAIMED),
)


def attention_figures(lists: Lists, *, disk: CentreDisk, now: datetime) -> Attention:
    """Return what waits for a person."""
    found = [
        _figure(words, model, lists.rows(model).filter(status=status), status__exact=str(status))
        for words, model, status in _STATUSES
    ]
    problems = lists.rows(Node).filter(status=NodeStatus.ACTIVE).exclude(problems=[])
    found += [
        _figure(
            _("clone alarms are open"), CloneAlarm, lists.rows(CloneAlarm).filter(resolution=""), resolution__exact=""
        ),
        _figure(_("school PCs report problems"), Node, problems, status__exact=NodeStatus.ACTIVE.value, problem="yes"),
    ]
    return Attention(figures=[each for each in found if each.number], alarms=alarms_read(disk=disk, now=now))


def _figure(words: Any, model: type[Model], rows: QuerySet[Any], **lookups: object) -> Figure:  # noqa: ANN401 - lazy
    return Figure(words=str(words), number=rows.count(), place=place_of(model, **lookups))
