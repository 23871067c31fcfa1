"""The node at a glance, for the status page and for `node status`: read from every app, written by none."""

from __future__ import annotations

import enum
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.errors import FederationError
from federation.trust.errors import MetadataExpired
from federation.trust.fetch import disk_free_bytes
from federation.trust.release_bytes import variant_read
from federation.trust.tuf_client import trusted_issued_at
from node.chat.engine_client import engine_status
from node.installed.models import InstallRecord
from node.installed.services import ActiveRelease, active_release, release_is_withdrawn
from node.installed.state import Phase, slots_read
from node.outbox.services import parcels_waiting
from node.root import engine_socket_path
from node.rounds.models import LocalUpdate
from node.rounds.training import can_train
from node.sync.enrol import enrolment_read
from node.sync.errors import NotEnrolled
from node.sync.models import SeenAssignment, SyncLog


class EngineState(enum.Enum):
    """Whether the engine can answer."""

    ANSWERS = "answers"
    EMPTY = "empty"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStatus:
    """One round as this node knows it."""

    plan_id: str
    status: str
    labels: int
    code: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """What runs, what waits, and when the centre was last heard."""

    node_id: str
    school: str
    running: str
    version: int
    title: str
    phase: str
    is_on_trial: bool
    is_withdrawn: bool
    """Whether the centre has withdrawn what runs; it answers until another has come."""
    installed_at: datetime | None
    engine: EngineState
    engine_code: str
    outbox_depth: int
    updates_waiting: int
    waiting_reason: str
    last_contact_at: datetime | None
    last_failure_code: str
    disk_free_bytes: int
    disk_bytes: int
    can_train: bool
    refused_code: str
    """Why the release that was assigned last is not in use here; empty when it is, or is still on its way."""
    rounds: tuple[RoundStatus, ...]
    variant: str
    """The form of the base that runs; empty where it has but one."""
    metadata_at: datetime | None
    """When the centre signed the list of releases that is trusted here."""
    is_metadata_expired: bool
    """Whether it is too old to install anything new by it; what runs is not touched by that."""


def status_read(*, root: Path, now: datetime) -> NodeStatus:
    """Return the node's status at `now`; what cannot be read is empty rather than an error."""
    slots = slots_read(root)
    running = slots.current or ""
    active = _active(root)
    node_id, school = _names(root)
    record = InstallRecord.objects.filter(release=running).first() if running else None
    contact = SyncLog.objects.filter(step="check-in", error_code="").order_by("-started_at").first()
    newest = SyncLog.objects.order_by("-started_at", "-pk").first()
    metadata = SyncLog.objects.filter(step="metadata").order_by("-started_at", "-pk").first()
    assignment = SeenAssignment.objects.first()
    engine, engine_code = _engine(root)
    return NodeStatus(
        node_id=node_id,
        school=school,
        running=running,
        version=active.index.version if active else 0,
        title=active.index.title if active else "",
        phase=slots.phase.value,
        is_on_trial=slots.phase is Phase.TRIAL,
        is_withdrawn=active is not None and release_is_withdrawn(root=root, release=active),
        installed_at=record.at if record else None,
        engine=engine,
        engine_code=engine_code,
        outbox_depth=parcels_waiting(),
        updates_waiting=LocalUpdate.objects.waiting().count(),
        waiting_reason=assignment.waiting_reason if assignment else "",
        last_contact_at=min(contact.started_at, now) if contact else None,
        last_failure_code=newest.error_code if newest else "",
        disk_free_bytes=disk_free_bytes(root),
        disk_bytes=shutil.disk_usage(root).total,
        can_train=can_train(),
        refused_code=_refused_code(),
        rounds=tuple(_round(update) for update in LocalUpdate.objects.order_by("-counter")[:10]),
        variant=variant_read(active.package) if active else "",
        metadata_at=trusted_issued_at(root / "tuf"),
        is_metadata_expired=metadata is not None and metadata.error_code == MetadataExpired.code,
    )


def _active(root: Path) -> ActiveRelease | None:
    try:
        return active_release(root=root)
    except FederationError:
        return None


def _refused_code() -> str:
    newest = InstallRecord.objects.first()
    return newest.error_code if newest else ""


def _engine(root: Path) -> tuple[EngineState, str]:
    event = engine_status(socket_path=engine_socket_path(root))
    if event is None:
        return EngineState.DOWN, ""
    return (EngineState.ANSWERS, "") if event.release else (EngineState.EMPTY, event.code)


def _names(root: Path) -> tuple[str, str]:
    try:
        enrolment = enrolment_read(root)
    except NotEnrolled:
        return "", ""
    return enrolment.node_id, enrolment.school


def _round(update: LocalUpdate) -> RoundStatus:
    return RoundStatus(
        plan_id=update.plan_id,
        status=update.status,
        labels=update.labels,
        code=update.error_code,
        sha256=update.sha256,
    )
