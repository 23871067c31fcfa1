"""What waits for a person, on every station; what does not is not shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from central.dashboard.alarms import centre_alarms
from central.dashboard.lists import Figure, Lists, place_of
from central.disk import CentreDisk
from central.feedback.models import CloneAlarm, ParcelStatus, ReceivedParcel
from central.releases.metadata_alarm import Alarm
from central.releases.models import Release, ReleaseStatus
from central.rollouts.models import Rollout, RolloutStatus, Wave, WaveStatus
from central.schools.models import Node, NodeStatus
from central.training.models import Update, UpdateStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Figures that somebody should look into, and alarms about the centre itself."""

    figures: list[Figure]
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One kind of thing that waits for a person: which rows of `model` do, here and in the admin's list of them."""

    name: str
    """For machines (central.metrics); never changes."""
    words: Any
    """Translated when it is shown."""
    model: type[Model]
    condition: Q
    lookups: Mapping[str, str]

    def rows(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of `queryset`, rows of the model, that wait."""
        return queryset.filter(self.condition)


def _in_status(name: str, words: Any, model: type[Model], status: str) -> Waiting:  # noqa: ANN401 - a lazy text
    lookups = {"status__exact": str(status)}
    return Waiting(name=name, words=words, model=model, condition=Q(status=status), lookups=lookups)


WAITING: tuple[Waiting, ...] = (
    _in_status("rollouts_paused", _("rollouts are paused"), Rollout, RolloutStatus.PAUSED),
    _in_status("rollouts_unapproved", _("rollouts await approval"), Rollout, RolloutStatus.PENDING_APPROVAL),
    _in_status("waves_inconclusive", _("waves are inconclusive"), Wave, WaveStatus.INCONCLUSIVE),
    _in_status("releases_unsigned", _("releases await a signature"), Release, ReleaseStatus.AWAITING_SIGNATURE),
    _in_status("builds_failed", _("builds failed"), Release, ReleaseStatus.BUILD_FAILED),
    _in_status("updates_quarantined", _("updates are in quarantine"), Update, UpdateStatus.QUARANTINED),
    _in_status("parcels_quarantined", _("parcels are in quarantine"), ReceivedParcel, ParcelStatus.QUARANTINED),
    _in_status("pcs_unapproved", _("school PCs wait to be activated"), Node, NodeStatus.CLAIMED),
    Waiting(
        name="clone_alarms",
        words=_("clone alarms are open"),
        model=CloneAlarm,
        condition=Q(resolution=""),
        lookups={"resolution__exact": ""},
    ),
    Waiting(
        name="pcs_with_problems",
        words=_("school PCs report problems"),
        model=Node,
        condition=Q(status=NodeStatus.ACTIVE) & ~Q(problems=[]),
        lookups={"status__exact": NodeStatus.ACTIVE.value, "problem": "yes"},
    ),
)


def attention_figures(lists: Lists, *, disk: CentreDisk, now: datetime) -> Attention:
    """Return what waits for a person."""
    found = [
        Figure(
            words=str(each.words),
            number=each.rows(lists.rows(each.model)).count(),
            place=place_of(each.model, **each.lookups),
        )
        for each in WAITING
    ]
    return Attention(figures=[each for each in found if each.number], alarms=centre_alarms(disk=disk, now=now))
