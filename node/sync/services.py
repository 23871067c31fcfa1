"""One contact with the centre, from asking the time to reporting what was installed.

The steps, in order: time, session, check-in, parcels, metadata, round plan, assignment, install, report, update. The
first three carry the rest; after them a step that fails is written down and the next is tried all the same, so that an
expired timestamp holds up an install and not a teacher's correction.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from django.db import transaction

from federation.errors import FederationError
from federation.trust.blob_sources import HttpBlobSource
from federation.trust.envelopes import PARCELS, SESSION, envelope_seal
from federation.trust.fetch import disk_free_bytes
from federation.trust.keys import NodeKey
from federation.trust.tuf_client import TrustedReleases
from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import SessionRequest
from federation.wire.feedback import Parcel, ParcelBatch
from federation.wire.releases import Assignment, CheckIn, CheckInAnswer, InstallState
from node.chat.engine_client import engine_status
from node.installed.services import install_reports, release_install, superseded_remove
from node.installed.state import Phase, Slots, slots_read
from node.outbox.services import epoch_name, parcels_acknowledge, parcels_due, parcels_waiting
from node.root import engine_socket_path
from node.rounds.services import plan_receive, update_receive_receipt
from node.rounds.training import can_train
from node.sync.assignment import assignment_verify
from node.sync.client import CentreClient
from node.sync.delivery import update_deliver
from node.sync.enrol import enrolment_read, node_key
from node.sync.errors import CentreWithoutAddress
from node.sync.journal import Journal
from node.sync.locks import is_stick_waiting
from node.sync.models import CheckInCount, SeenAssignment
from node.sync.transport import CountingTransport

PARCELS_IN_A_BATCH = 100
CLOCK_TOLERANCE_SECONDS = 300
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReport:
    """How a contact went."""

    next_seconds: float
    failures: Mapping[str, FederationError]
    """Of the steps that failed while the rest of the contact went on, by step."""
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactTimes:
    """How long a contact waits for what other processes do."""

    trial_seconds: float = 120.0
    poll_seconds: float = 1.0
    delivery_poll_seconds: float = 2.0


class Contact:
    """One contact of the node at `root`; used once."""

    def __init__(
        self,
        *,
        root: Path,
        http: httpx.Client,
        counter: CountingTransport,
        clock: Callable[[], datetime],
        times: ContactTimes,
    ) -> None:
        """Prepare a contact.

        Raises:
            NotEnrolled: the node has no centre yet.
            CentreWithoutAddress: it trades by USB stick alone.
            KeyUnreadable: its key is gone.
        """
        self.root, self.http, self.counter, self.clock, self.times = root, http, counter, clock, times
        self.enrolment = enrolment_read(root)
        if not self.enrolment.central_url:
            raise CentreWithoutAddress(school=self.enrolment.school)
        self.key = node_key(root)
        self.client = CentreClient(http=http, base_url=self.enrolment.central_url)
        self.trusted = TrustedReleases(root=root / "tuf", base_url=self.enrolment.central_url, client=http)
        self.journal = Journal(counter=counter, clock=clock)

    def hold(self) -> ContactReport:
        """Return how the contact went.

        Raises:
            TransportError: there was none.
            WireError, TrustError: the centre does not take this node.
        """
        self._time_compare()
        self._session_open()
        answer = self._check_in("check-in")
        self._parcels_send()
        is_fresh = self._metadata_refresh()
        self._plan_take(answer)
        assignment = self._assignment_take(answer) if is_fresh else None
        if assignment is not None and self._install(assignment):
            answer = self._check_in("report")
        retry_seconds = self._update_deliver()
        self.journal.prune()
        return ContactReport(
            next_seconds=min(answer.next_checkin_seconds, retry_seconds or answer.next_checkin_seconds),
            failures=self.journal.failures,
            bytes_up=self.counter.bytes_up,
            bytes_down=self.counter.bytes_down,
        )

    def check_in(self) -> CheckInAnswer:
        """Return the centre's answer to one check-in, with what it says of parcels and updates taken in."""
        document = check_in_document(root=self.root, node_id=self.enrolment.node_id, now=self.clock())
        answer = self.client.check_in(document)
        parcels_acknowledge(epoch=document.epoch, acknowledged_seq=answer.acknowledged_seq)
        for receipt in answer.update_receipts:
            update_receive_receipt(receipt=receipt, root=self.root)
        return answer

    def _time_compare(self) -> None:
        with self.journal.step("time") as detail:
            skew = (self.clock() - self.client.server_time()).total_seconds()
            detail.append(f"skew {skew:+.0f} s")
            if abs(skew) > CLOCK_TOLERANCE_SECONDS:
                _log.warning("this PC's clock is %+.0f s off the centre's", skew)

    def _session_open(self) -> None:
        with self.journal.step("session"):
            nonce = self.client.nonce(node_id=self.enrolment.node_id)
            request = SessionRequest(node_id=self.enrolment.node_id, nonce=nonce.nonce)
            self.client.session_open(envelope_seal(payload=canonical_bytes(request), kind=SESSION, key=self.key))

    def _check_in(self, name: str) -> CheckInAnswer:
        with self.journal.step(name):
            return self.check_in()

    def _parcels_send(self) -> None:
        with self.journal.step("parcels", may_fail=True) as detail:
            epoch = epoch_name()
            while due := parcels_due(limit=PARCELS_IN_A_BATCH):
                envelope = batch_envelope(node_id=self.enrolment.node_id, epoch=epoch, parcels=due, key=self.key)
                receipt = self.client.parcels_send(envelope)
                safe = parcels_acknowledge(
                    epoch=receipt.epoch, acknowledged_seq=receipt.acknowledged_seq, quarantined=receipt.quarantined
                )
                detail.append(f"{safe} of {len(due)} safe")
                if safe == 0:
                    break

    def _metadata_refresh(self) -> bool:
        with self.journal.step("metadata", may_fail=True) as detail:
            detail.append(f"{len(self.trusted.refresh(now=self.clock()))} releases trusted")
        return "metadata" not in self.journal.failures

    def _plan_take(self, answer: CheckInAnswer) -> None:
        if answer.round_plan is None:
            return
        with self.journal.step("plan", may_fail=True):
            plan_receive(envelope=answer.round_plan, director_key=self.trusted.director_key, now=self.clock())

    def _assignment_take(self, answer: CheckInAnswer) -> Assignment | None:
        assignment: Assignment | None = None
        if answer.assignment is None:
            return assignment
        with self.journal.step("assignment", may_fail=True):
            assignment = assignment_verify(
                answer.assignment,
                director_key=self.trusted.director_key,
                node_id=self.enrolment.node_id,
                seen_sequence=seen_sequence(),
                trusted=self.trusted.trusted.releases,
            )
            assignment_keep(assignment=assignment, envelope=answer.assignment, now=self.clock())
        return assignment

    def _install(self, assignment: Assignment) -> bool:
        """Take the assigned release as far as it goes; return whether there is something to report."""
        if assignment.release is None:
            return False
        before = install_reports(root=self.root, now=self.clock())
        with self.journal.step("install", may_fail=True) as detail:
            index = self.trusted.index_fetch(assignment.release)
            state = release_install(
                root=self.root,
                index=index,
                base_index=self.trusted.index_fetch(index.base) if index.base else None,
                sequence=assignment.sequence,
                source=HttpBlobSource(client=self.http, base_url=self.enrolment.central_url),
                clock=self.clock,
                should_stop=lambda: is_stick_waiting(self.root),
            )
            detail.append(state.value)
            if state is InstallState.TRIAL:
                detail.append(trial_await(root=self.root, times=self.times))
            superseded_remove(root=self.root)
        return install_reports(root=self.root, now=self.clock()) != before

    def _update_deliver(self) -> int:
        """Return the seconds after which another contact could hand in what this one could not, or 0."""
        retry_seconds = 0
        with self.journal.step("update", may_fail=True) as detail:
            retry_seconds, word = update_deliver(
                root=self.root,
                enrolment=self.enrolment,
                client=self.client,
                check_in=self.check_in,
                now=self.clock(),
                poll_seconds=self.times.delivery_poll_seconds,
            )
            detail.append(word)
        return retry_seconds


def check_in_document(*, root: Path, node_id: str, now: datetime) -> CheckIn:
    """Return all that the node has to say now; each one has a higher number than those before."""
    return CheckIn(
        node_id=node_id,
        epoch=epoch_name(),
        sent_at=now,
        running=running_digest(slots_read(root)),
        installs=install_reports(root=root, now=now),
        disk_free_bytes=disk_free_bytes(root),
        outbox_depth=parcels_waiting(),
        capabilities=capabilities(root),
        number=checkin_number_next(),
    )


@transaction.atomic
def checkin_number_next() -> int:
    """Return the number of a new check-in; it is used up even if the check-in never arrives."""
    count, _ = CheckInCount.objects.select_for_update().get_or_create(is_only=True)
    count.number += 1
    count.save(update_fields=["number"])
    return count.number


def batch_envelope(*, node_id: str, epoch: str, parcels: tuple[Parcel, ...], key: NodeKey) -> bytes:
    """Return a batch as it goes to the centre, by link or by stick."""
    batch = ParcelBatch(node_id=node_id, epoch=epoch, parcels=parcels)
    return envelope_seal(payload=canonical_bytes(batch), kind=PARCELS, key=key)


def trial_await(*, root: Path, times: ContactTimes) -> str:
    """Wait for the engine's word on the release on trial; without an engine it stays on trial until one starts."""
    until = time.monotonic() + times.trial_seconds
    socket_path = engine_socket_path(root)
    while slots_read(root).phase is Phase.TRIAL and time.monotonic() < until:
        if not socket_path.exists():
            break
        time.sleep(times.poll_seconds)
    return slots_read(root).phase.value


def running_digest(slots: Slots) -> str | None:
    """Return the digest of the release that has proved itself here; one on trial has not yet."""
    return slots.previous if slots.phase is Phase.TRIAL else slots.current


def capabilities(root: Path) -> tuple[str, ...]:
    """Return what this node can do, in the wire's words."""
    engine = engine_status(socket_path=engine_socket_path(root))
    able = {"chat": engine is not None and bool(engine.release), "train": can_train()}
    return tuple(name for name, is_able in able.items() if is_able)


def seen_sequence() -> int:
    """Return the highest sequence of an assignment that was accepted; 0 before the first."""
    return SeenAssignment.objects.values_list("sequence", flat=True).first() or 0


@transaction.atomic
def assignment_keep(*, assignment: Assignment, envelope: bytes, now: datetime) -> None:
    """Remember the director's newest word as it was signed."""
    SeenAssignment.objects.update_or_create(
        is_only=True,
        defaults={
            "sequence": assignment.sequence,
            "release": assignment.release or "",
            "waiting_reason": assignment.waiting_reason,
            "envelope": envelope,
            "received_at": now,
        },
    )
