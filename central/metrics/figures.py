"""What the tables, the disk and the signed metadata say of the centre, as figures for alarms.

The rules are those of the admin's pages: what waits for a person is `central.dashboard.attention`'s, who is silent
unlike itself is `central.schools.rhythm`'s, what expires is told by `federation.trust`, which copy is late by
`central.backup.ages`.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import Count
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily

from central.backup.ages import copies_read
from central.dashboard.attention import WAITING
from central.dashboard.waves import UNDER_WAY
from central.disk import CentreDisk
from central.readiness import OK, readiness_read
from central.replica_rule import ReplicaState
from central.reports import replica_state, report_read
from central.rollouts.models import PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.schools.models import Node
from central.schools.rhythm import Rhythm
from federation.errors import FederationError
from federation.trust.tuf_roles import roles_read


def figures_read(*, disk: CentreDisk, now: datetime) -> list[GaugeMetricFamily]:
    """Return all figures; where the database does not answer, what can be told without it."""
    readiness = readiness_read(disk=disk, now=now)
    told = [_gauge("soro_ready", "Whether what the centre stands on is well.", "check", _truths(readiness))]
    told += [*_disk(disk), *_metadata(disk, now)]
    if readiness["database"] != OK or readiness["migrations"] != OK:
        return told
    return [*told, *_backups(now), _replica(), *report_read(lambda: _tables(now))]


def _tables(now: datetime) -> list[GaugeMetricFamily]:
    return [*schools_read(now), *_rollouts(), _waiting()]


def _gauge(name: str, words: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, words, labels=(label,))
    for value, number in values.items():
        family.add_metric((value,), number)
    return family


def _replica() -> GaugeMetricFamily:
    state = replica_state()
    truths = {each.value: float(each is state) for each in ReplicaState}
    return _gauge("soro_replica", "What the replica for reports is good for, where there is one.", "state", truths)


def _truths(readiness: Mapping[str, str]) -> dict[str, float]:
    return {name: float(code == OK) for name, code in readiness.items()}


def _disk(disk: CentreDisk) -> Iterable[GaugeMetricFamily]:
    space = shutil.disk_usage(disk.root)
    sizes = {"total": float(space.total), "free": float(space.free)}
    yield _gauge("soro_disk_bytes", "The disk under the centre's root.", "part", sizes)


def _metadata(disk: CentreDisk, now: datetime) -> Iterable[GaugeMetricFamily]:
    try:
        states = roles_read(root=disk.tuf, keys=disk.keys)
    except FederationError:
        # Told by soro_ready{check="metadata"}.
        return
    ends = {state.role: state.expires_at.timestamp() for state in states}
    yield _gauge("soro_metadata_expires_timestamp_seconds", "When a role's metadata ends.", "role", ends)
    due = {state.role: float(state.is_expiring(now)) for state in states}
    yield _gauge("soro_metadata_expiring", "Whether a role's metadata ends soon, by the role's own term.", "role", due)


def _backups(now: datetime) -> Iterable[GaugeMetricFamily]:
    ages = copies_read(settings.BACKUP_PLACE)
    made = {age.copy.value: age.made_at.timestamp() for age in ages if age.made_at}
    yield _gauge("soro_backup_made_timestamp_seconds", "When the newest copy was whole.", "copy", made)
    late = {age.copy.value: float(age.is_late(now)) for age in ages}
    yield _gauge("soro_backup_late", "Whether a newer copy should be there by now, or none is found.", "copy", late)


def schools_read(now: datetime) -> Iterable[GaugeMetricFamily]:
    """Yield how many PCs each region has, and how many of these are silent: the one figure that grows with PCs."""
    active: Counter[str] = Counter()
    silent: Counter[str] = Counter()
    today = timezone.localdate(now)
    rows = Node.objects.active().order_by().values_list("school__region", "contact_days", "last_contact_at")
    for region, days, last_at in rows.iterator():
        active[region] += 1
        last = timezone.localdate(last_at) if last_at else None
        silent[region] += Rhythm(days=days, last=last).is_overdue(today)
    yield _gauge("soro_school_pcs_active", "Active school PCs.", "region", active)
    words = "Active school PCs that are silent for longer than they ever are."
    yield _gauge("soro_school_pcs_silent", words, "region", {region: silent[region] for region in active})


def _rollouts() -> Iterable[GaugeMetricFamily]:
    paused = Rollout.objects.filter(status=RolloutStatus.PAUSED).order_by().values_list("pause_reason")
    numbers = {reason: float(number) for reason, number in paused.annotate(number=Count("pk"))}
    reasons = {reason: numbers.get(reason, 0.0) for reason in PauseReason.values}
    yield _gauge("soro_rollouts_paused", "Rollouts that stand still, by what halted them.", "reason", reasons)
    under_way = Wave.objects.filter(rollout__status__in=UNDER_WAY).order_by().values_list("status")
    counts = {status: float(number) for status, number in under_way.annotate(number=Count("pk"))}
    waves = {status: counts.get(status, 0.0) for status in WaveStatus.values}
    yield _gauge("soro_waves", "Waves of rollouts under way.", "status", waves)


def _waiting() -> GaugeMetricFamily:
    numbers = {each.name: float(each.rows(each.model._default_manager.all()).count()) for each in WAITING}  # noqa: SLF001
    return _gauge("soro_waiting", "What waits for a person, as the admin's first page has it.", "what", numbers)
