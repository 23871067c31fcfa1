"""The node at a glance, for the status page and for `node status`: read from every app, written by none."""

from __future__ import annotations

import enum
import re
import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.utils import timezone

from federation.errors import FederationError
from federation.inference.variants import memory_need_bytes
from federation.trust.errors import MetadataExpired
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes, files_size_bytes
from federation.trust.release_bytes import index_read, installed_files, variant_read
from federation.trust.tuf_client import time_floor, trusted_issued_at
from federation.wire.programs import ProgramReport
from federation.wire.releases import Assignment, InstallState
from node.arrival import Held, Newer, newer_of
from node.backup.places import backup_newest_at
from node.backup.restoring import is_undo_possible
from node.chat.engine_client import engine_status
from node.installed.memory import memory_available_bytes, memory_total_bytes
from node.installed.models import InstallRecord
from node.installed.services import ActiveRelease, active_release, release_is_withdrawn
from node.installed.state import Phase, slots_read
from node.next_step import REFUSED_HERE, NextStep, Standing, next_step
from node.outbox.services import parcels_waiting
from node.programs.place import HERE, ProgramPlace
from node.programs.services import program_standing
from node.root import engine_socket_path
from node.rounds.models import LocalUpdate
from node.rounds.training import can_train
from node.sync.change_over import assignment_seen
from node.sync.claim import Awaited, awaited
from node.sync.enrol import Enrolment, enrolment_read
from node.sync.errors import NotEnrolled
from node.sync.link_settings import link_rule_read
from node.sync.models import SeenAssignment, SyncLog
from node.sync.self_enrol import is_claim_refused


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
    newer: Newer
    memory_bytes: int
    memory_available_bytes: int
    """What an engine could have."""
    memory_needed_bytes: int
    """By what runs; 0 where nothing does."""
    clock_off_seconds: float
    """Off the centre's clock, as measured last; positive: ahead. 0 where it is not known."""
    backup_at: datetime | None
    program: ProgramReport | None
    """Which program runs here and which was given up; None where nothing updates it."""
    next_step: NextStep


def status_read(*, root: Path, now: datetime, place: ProgramPlace | None = HERE) -> NodeStatus:
    """Return the node's status at `now`; what cannot be read is empty rather than an error."""
    slots = slots_read(root)
    running = slots.current or ""
    active = _active(root)
    enrolment = _enrolment(root)
    record = InstallRecord.objects.filter(release=running).first() if running else None
    contact = SyncLog.objects.filter(step="check-in", error_code="").order_by("-started_at").first()
    newest = SyncLog.objects.order_by("-started_at", "-pk").first()
    metadata = SyncLog.objects.filter(step="metadata").order_by("-started_at", "-pk").first()
    assignment = SeenAssignment.objects.first()
    engine, engine_code = _engine(root)
    facts = NodeStatus(
        node_id=enrolment.node_id if enrolment else "",
        school=enrolment.school if enrolment else "",
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
        newer=_newer(running, now),
        memory_bytes=memory_total_bytes(),
        memory_available_bytes=memory_available_bytes(root),
        memory_needed_bytes=_memory_needed(active),
        clock_off_seconds=clock_off_seconds(root, now),
        backup_at=backup_newest_at(root),
        program=program_standing(place),
        next_step=NextStep.ALL_WELL,
    )
    return replace(facts, next_step=next_step(_standing(facts, root, now)))


def _standing(status: NodeStatus, root: Path, now: datetime) -> Standing:
    enrolment = _enrolment(root)
    return Standing(
        is_enrolled=enrolment is not None,
        awaited=_awaited(root),
        is_claim_refused=is_claim_refused(),
        has_release=bool(status.running),
        does_engine_answer=status.engine is EngineState.ANSWERS,
        is_disk_short=status.disk_free_bytes < RESERVE_BYTES,
        is_memory_short=status.memory_needed_bytes > status.memory_available_bytes > 0,
        is_withdrawn=status.is_withdrawn,
        is_metadata_expired=status.is_metadata_expired,
        is_restore_unsettled=is_undo_possible(root),
        clock_off_seconds=status.clock_off_seconds,
        has_link=enrolment is not None and bool(enrolment.central_url),
        silent_for=now - status.last_contact_at if status.last_contact_at else None,
        backup_age=now - status.backup_at if status.backup_at else None,
        newer=status.newer,
    )


def _newer(running: str, now: datetime) -> Newer:
    assignment = assignment_seen()
    record = _record_of(assignment)
    held = (
        None
        if record is None
        else Held(state=InstallState(record.status), error_code=record.error_code, bytes_fetched=record.bytes_fetched)
    )
    here = timezone.localtime(now).time()
    return newer_of(assignment=assignment, held=held, running=running, rule=link_rule_read(), now=now, here=here)


def _record_of(assignment: Assignment | None) -> InstallRecord | None:
    """Return what is recorded of the release that is assigned, or of the one that was refused here, so that none is."""
    if assignment is None or assignment.waiting_reason in REFUSED_HERE:
        return InstallRecord.objects.first()
    if assignment.release is None:
        return None
    return InstallRecord.objects.filter(release=assignment.release, sequence=assignment.sequence).first()


def _memory_needed(active: ActiveRelease | None) -> int:
    if active is None:
        return 0
    try:
        return memory_need_bytes(files_size_bytes(installed_files(active.package, index_read(active.package))))
    except FederationError:
        return 0


def clock_off_seconds(root: Path, now: datetime) -> float:
    """Return how far this PC's clock was off when it was compared last, or what signed times alone prove.

    A contact that was held since then says nothing: the centre's time is asked for only as a session is opened.
    """
    behind = (time_floor(root / "tuf") - now).total_seconds()
    if behind > 0:
        return -behind
    compared = SyncLog.objects.filter(step="time", error_code="").order_by("-started_at", "-pk").first()
    found = re.search(r"skew ([+-]\d+) s", compared.detail) if compared else None
    return float(found[1]) if found else 0.0


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


def _enrolment(root: Path) -> Enrolment | None:
    try:
        return enrolment_read(root)
    except NotEnrolled:
        return None


def _awaited(root: Path) -> Awaited:
    try:
        return awaited(root)
    except FederationError:
        return Awaited.NOTHING


def _round(update: LocalUpdate) -> RoundStatus:
    return RoundStatus(
        plan_id=update.plan_id,
        status=update.status,
        labels=update.labels,
        code=update.error_code,
        sha256=update.sha256,
    )
