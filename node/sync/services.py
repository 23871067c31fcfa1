"""One contact with the centre, from the check-in to reporting what was installed.

The steps, in order: time, key (where it is being changed) and session where none is open, check-in, parcels, metadata,
round plan, assignment, install, report, update. The first four carry the rest; after them a step that fails is written
down and the next is tried all the same, so that an expired timestamp holds up an install and not a teacher's
correction. Where nothing is new, the check-in is all; what is new is judged by the signed time of a new session.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
from django.db import transaction

from federation.errors import FederationError
from federation.trust.blob_sources import HttpBlobSource
from federation.trust.envelopes import (
    PARCELS,
    SESSION,
    TIME,
    BadSignature,
    envelope_key_ids,
    envelope_seal,
    signature_check,
)
from federation.trust.errors import DirectorUnknown, DiskFull
from federation.trust.fetch import RESERVE_BYTES, disk_free_bytes
from federation.trust.keys import NodeKey, VerifyingKey, key_id, public_key_load
from federation.trust.peers import peer_client
from federation.trust.tuf_client import TrustedReleases, trusted_read
from federation.wire.canonical import MalformedDocument, canonical_bytes, sha256_hex
from federation.wire.enrolment import Session, SessionRequest, SignedTime
from federation.wire.feedback import Parcel, ParcelBatch
from federation.wire.releases import Assignment, CheckIn, CheckInAnswer, InstallState
from node.chat.engine_client import engine_status
from node.installed.disk import variants_present
from node.installed.errors import ReleaseWithdrawn
from node.installed.hardware import GAUGES, Gauges
from node.installed.self_test import SelfTest, self_test_run
from node.installed.services import (
    active_release,
    install_is_settled,
    install_reports,
    install_reports_heard,
    release_install,
    release_is_withdrawn,
    superseded_remove,
)
from node.installed.state import Phase, Slots, slots_read
from node.outbox.services import acknowledged_seq, epoch_name, parcels_acknowledge, parcels_due, parcels_waiting
from node.programs.place import HERE, ProgramPlace
from node.programs.services import is_program_due, program_leave, program_report, program_report_heard, program_take
from node.root import engine_socket_path
from node.rounds.services import plan_newest_id, plan_receive, updates_find_shipped, updates_waiting
from node.rounds.training import can_train
from node.sync.assignment import assignment_verify
from node.sync.centre_clock import WORTH_A_WARNING_SECONDS, CentreClock
from node.sync.change_over import (
    assignment_seen,
    is_time_to_change_over,
    is_waiting_for_its_time,
    link_rule_under,
)
from node.sync.client import CentreClient
from node.sync.delivery import STEP, update_deliver
from node.sync.enrol import enrolment_read, node_key
from node.sync.errors import CentreBusy, CentreUnreachable, CentreWithoutAddress, SessionRefused, WindowClosed
from node.sync.heard import answer_hear, checkin_number_next, heard_number
from node.sync.journal import Journal
from node.sync.link_settings import link_rule_read
from node.sync.link_source import LinkSource
from node.sync.locks import is_stick_waiting
from node.sync.models import SeenAssignment
from node.sync.neighbours import peers_at_hand
from node.sync.rotation import is_rotation_under_way, key_rotate
from node.sync.session_token import session_token_forget, session_token_keep, session_token_read
from node.sync.transport import CountingTransport

PARCELS_IN_A_BATCH = 100
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReport:
    """How a contact went."""

    next_seconds: float
    spread_seconds: float
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
        gauges: Gauges = GAUGES,
        self_test: SelfTest = self_test_run,
        place: ProgramPlace | None = HERE,
    ) -> None:
        """Prepare a contact; `gauges` measure what this PC can carry, `place` is where its program lies.

        Raises:
            NotEnrolled: the node has no centre yet.
            CentreWithoutAddress: it trades by USB stick alone.
            KeyUnreadable: its key is gone.
        """
        self.root, self.http, self.counter, self.clock, self.times = root, http, counter, clock, times
        self.gauges, self.self_test, self.place = gauges, self_test, place
        self.centre_clock = CentreClock(clock)
        self.enrolment = enrolment_read(root)
        if not self.enrolment.central_url:
            raise CentreWithoutAddress(school=self.enrolment.school)
        self.key = node_key(root)
        self.client = CentreClient(http=http, base_url=self.enrolment.central_url)
        self.trusted = TrustedReleases(root=root / "tuf", base_url=self.enrolment.central_url, client=http)
        self.journal = Journal(counter=counter, clock=clock)
        self._is_time_known = False

    def hold(self) -> ContactReport:
        """Return how the contact went.

        Raises:
            TransportError: there was none.
            WireError, TrustError: the centre does not take this node.
        """
        answer = self._greet()
        self._parcels_send()
        is_new = self._is_something_new(answer)
        if (is_new or updates_waiting()) and not self._is_time_known:
            self._introduce()
        if is_new:
            answer = self._follow(answer)
        retry_seconds = self._update_deliver()
        self.journal.prune()
        next_seconds = min(answer.next_checkin_seconds, retry_seconds or answer.next_checkin_seconds)
        return ContactReport(
            next_seconds=max(next_seconds, retry_after_seconds(self.journal.failures.values())),
            spread_seconds=answer.next_checkin_spread_seconds,
            failures=self.journal.failures,
            bytes_up=self.counter.bytes_up,
            bytes_down=self.counter.bytes_down,
        )

    def check_in(self) -> CheckInAnswer:
        """Return the centre's answer to one check-in, with what it says of parcels and updates taken in."""
        document = check_in_document(
            root=self.root, node_id=self.enrolment.node_id, gauges=self.gauges, now=self.clock(), place=self.place
        )
        answer = self.client.check_in(document)
        install_reports_heard(reports=document.installs)
        answer_hear(root=self.root, epoch=document.epoch, answer=answer)
        program_report_heard(root=self.root, report=document.program)
        return answer

    def _greet(self) -> CheckInAnswer:
        """Check in under the session that is still open, or under a new one."""
        token = session_token_read(self.root)
        if token and not is_rotation_under_way(self.root):
            self.client.session_resume(token)
            try:
                return self._check_in("check-in", over=SessionRefused)
            except SessionRefused:
                session_token_forget(self.root)
        self._introduce()
        return self._check_in("check-in")

    def _introduce(self) -> None:
        """Open a session, whose signed time this contact then goes by."""
        self._time_compare()
        self._rotation_finish()
        self._session_open()
        self._is_time_known = True

    def _follow(self, answer: CheckInAnswer) -> CheckInAnswer:
        """Do what the centre says, and return its answer to the report on it where there was one."""
        is_fresh = self._metadata_refresh()
        self._plan_take(answer)
        assignment = self._assignment_take(answer.assignment or envelope_seen()) if is_fresh else None
        if assignment is None:
            return answer
        has_news = self._install(assignment)
        self._program_take(assignment)
        return self._check_in("report") if has_news else answer

    def _is_something_new(self, answer: CheckInAnswer) -> bool:
        if answer.assignment is not None or answer.round_plan is not None:
            return True
        is_under_way = _is_under_way(self.root, self.clock) or _is_program_under_way(self.root, self.place, self.clock)
        return is_under_way or not self.trusted.is_current(version=answer.metadata_version, now=self.clock())

    def _time_compare(self) -> None:
        with self.journal.step("time") as detail:
            asked_at = self.clock()
            server_time = self.client.server_time()
            is_believed = bool(self.enrolment.authority) and not self.trusted.trusted.director_key
            self._time_take(asked_at, server_time, is_believed=is_believed)
            skew = self.centre_clock.skew_seconds
            detail.append(f"skew {skew:+.0f} s")
            if abs(skew) > WORTH_A_WARNING_SECONDS:
                _log.warning("this PC's clock is %+.0f s off the centre's", skew)

    def _rotation_finish(self) -> None:
        if not is_rotation_under_way(self.root):
            return
        with self.journal.step("key"):
            key_rotate(root=self.root, enrolment=self.enrolment, client=self.client)
            self.key = node_key(self.root)

    def _session_open(self) -> None:
        with self.journal.step("session"):
            nonce = self.client.nonce(node_id=self.enrolment.node_id)
            request = SessionRequest(node_id=self.enrolment.node_id, nonce=nonce.nonce)
            asked_at = self.clock()
            session = self.client.session_open(
                envelope_seal(payload=canonical_bytes(request), kind=SESSION, key=self.key)
            )
            session_token_keep(self.root, session.token)
            if self._is_time_signed(session, nonce.nonce):
                self._time_take(asked_at, session.server_time, is_believed=True)
                self.trusted.time_hear(session.server_time)

    def _is_time_signed(self, session: Session, nonce: str) -> bool:
        said = SignedTime(node_id=self.enrolment.node_id, nonce=nonce, server_time=session.server_time)
        try:
            key = self.trusted.director_key
            signature_check(session.time_signature, payload=canonical_bytes(said), kind=TIME, key=key)
        except DirectorUnknown:
            return False
        except BadSignature:
            # It may be a new director, whom the metadata will name later in this contact.
            _log.warning("the centre's time is not signed by the director that this node knows")
            return False
        return True

    def _time_take(self, asked_at: datetime, server_time: datetime, *, is_believed: bool) -> None:
        self.centre_clock.measure(
            asked_at=asked_at, heard_at=self.clock(), server_time=server_time, is_believed=is_believed
        )

    def _check_in(self, name: str, *, over: type[FederationError] | None = None) -> CheckInAnswer:
        with self.journal.step(name, over=over):
            return self.check_in()

    def _parcels_send(self) -> None:
        with self.journal.step("parcels", may_fail=True) as detail:
            limit, epoch = PARCELS_IN_A_BATCH, epoch_name()
            is_numbered_anew = False
            while due := parcels_due(limit=limit):
                try:
                    safe = self._batch_send(due)
                except CentreUnreachable:
                    # A link that cuts every few thousand bytes takes a small batch where it never takes a large one.
                    if len(due) == 1:
                        raise
                    limit = max(1, len(due) // 4)
                    continue
                detail.append(f"{safe} of {len(due)} safe")
                limit = min(2 * limit, PARCELS_IN_A_BATCH)
                if safe == 0:
                    if is_numbered_anew or epoch_name() == epoch:
                        break
                    # Once more under the new numbers; if the centre has these from another PC too, a person must look.
                    is_numbered_anew = True

    def _batch_send(self, due: tuple[Parcel, ...]) -> int:
        """Return how many events are safe that were not before."""
        batch = ParcelBatch(node_id=self.enrolment.node_id, epoch=epoch_name(), parcels=due)
        receipt = self.client.parcels_send(envelope_seal(payload=canonical_bytes(batch), kind=PARCELS, key=self.key))
        if receipt.node_id != self.enrolment.node_id:
            raise MalformedDocument(document="BatchReceipt", field="node_id", problem="of another node")
        return parcels_acknowledge(
            epoch=receipt.epoch,
            acknowledged_seq=receipt.acknowledged_seq,
            acknowledged_event=receipt.acknowledged_event,
            quarantined=receipt.quarantined,
        )

    def _metadata_refresh(self) -> bool:
        with self.journal.step("metadata", may_fail=True) as detail:
            detail.append(f"{len(self.trusted.refresh(now=self.centre_clock.now()))} releases trusted")
        return "metadata" not in self.journal.failures

    def _plan_take(self, answer: CheckInAnswer) -> None:
        if answer.round_plan is None:
            return
        with self.journal.step("plan", may_fail=True):
            plan_receive(
                envelope=answer.round_plan, director_key=self.trusted.director_key, now=self.centre_clock.now()
            )

    def _assignment_take(self, envelope: bytes) -> Assignment | None:
        assignment: Assignment | None = None
        if not envelope:
            return assignment
        with self.journal.step("assignment", may_fail=True):
            assignment = assignment_verify(
                envelope,
                director_key=self.trusted.director_key,
                node_id=self.enrolment.node_id,
                seen_sequence=seen_sequence(self.trusted.director_key),
                trusted=self.trusted.trusted.releases,
            )
            assignment_keep(assignment=assignment, envelope=envelope, now=self.clock())
        return assignment

    def _install(self, assignment: Assignment) -> bool:
        """Take the assigned release as far as it goes; return whether there is something to report."""
        if assignment.release is None:
            superseded_remove(root=self.root, assigned=None, now=self.clock())
            return False
        before = install_reports(root=self.root, now=self.clock())
        with self.journal.step("install", may_fail=True) as detail:
            try:
                state = self._install_step(assignment.release, assignment)
            except WindowClosed as reason:
                # Nothing has failed: the head lets releases come at other hours.
                detail.append(reason.code)
                return install_reports(root=self.root, now=self.clock()) != before
            detail.append(state.value)
            if state is InstallState.TRIAL:
                detail.append(trial_await(root=self.root, times=self.times))
            updates_find_shipped(root=self.root)
            superseded_remove(root=self.root, assigned=assignment.release, now=self.clock())
        return install_reports(root=self.root, now=self.clock()) != before

    def _install_step(self, release: str, assignment: Assignment) -> InstallState:
        index = self.trusted.index_fetch(release)
        blobs = HttpBlobSource(client=self.http, base_url=self.enrolment.central_url)
        with peer_client() as others:
            return release_install(
                root=self.root,
                index=index,
                base_index=self.trusted.index_fetch(index.base) if index.base else None,
                variant=assignment.variant,
                sequence=assignment.sequence,
                gauges=self.gauges,
                source=LinkSource(blobs, rule=lambda: link_rule_under(assignment, link_rule_read()), clock=self.clock),
                peers=lambda: peers_at_hand(self.root, others),
                clock=self.clock,
                self_test=self.self_test,
                should_stop=lambda: is_stick_waiting(self.root),
                may_change_over=lambda: is_time_to_change_over(assignment, root=self.root, clock=self.clock),
            )

    def _program_take(self, assignment: Assignment) -> None:
        """Fetch the program that the director names, as far as it goes."""
        place = self.place
        if place is None or not assignment.program:
            program_leave(root=self.root)
            return
        with self.journal.step("program", may_fail=True) as detail:
            blobs = HttpBlobSource(client=self.http, base_url=self.enrolment.central_url)
            try:
                step = program_take(
                    root=self.root,
                    place=place,
                    index=self.trusted.program_fetch(assignment.program),
                    source=LinkSource(
                        blobs, rule=lambda: link_rule_under(assignment, link_rule_read()), clock=self.clock
                    ),
                    should_stop=lambda: is_stick_waiting(self.root),
                    may_change_over=lambda: is_time_to_change_over(assignment, root=self.root, clock=self.clock),
                )
            except WindowClosed as reason:
                detail.append(reason.code)
            else:
                detail.append(step.value)

    def _update_deliver(self) -> int:
        """Return the seconds after which another contact could hand in what this one could not, or 0."""
        retry_seconds = 0
        with self.journal.step(STEP, may_fail=True) as detail:
            retry_seconds, word = update_deliver(
                root=self.root,
                enrolment=self.enrolment,
                client=self.client,
                check_in=self.check_in,
                clock=self.centre_clock,
                poll_seconds=self.times.delivery_poll_seconds,
            )
            detail.append(word)
        return retry_seconds


def _is_under_way(root: Path, clock: Callable[[], datetime]) -> bool:
    """Tell whether there is something to do for the newest assignment here."""
    seen = SeenAssignment.objects.first()
    if seen is None or not seen.release:
        return False
    is_settled = install_is_settled(root=root, digest=seen.release, sequence=seen.sequence)
    return not is_settled and not is_waiting_for_its_time(root=root, clock=clock)


def _is_program_under_way(root: Path, place: ProgramPlace | None, clock: Callable[[], datetime]) -> bool:
    """Tell whether there is something to do for the program that the newest assignment names."""
    assignment = assignment_seen()
    if place is None or assignment is None or not assignment.program:
        return False
    return is_program_due(
        root=root,
        place=place,
        digest=assignment.program,
        may_change_over=lambda: is_time_to_change_over(assignment, root=root, clock=clock),
    )


def check_in_document(
    *, root: Path, node_id: str, gauges: Gauges, now: datetime, place: ProgramPlace | None = HERE
) -> CheckIn:
    """Return all that the node has to say now; each one has a higher number than those before."""
    seen = envelope_seen()
    return CheckIn(
        node_id=node_id,
        epoch=epoch_name(),
        sent_at=now,
        running=running_digest(slots_read(root)),
        installs=install_reports(root=root, now=now),
        disk_free_bytes=disk_free_bytes(root),
        outbox_depth=parcels_waiting(),
        capabilities=capabilities(root),
        hardware=gauges.hardware(root),
        variants=variants_present(root),
        problems=problems_find(root),
        assignment_sequence=_sequence_seen(root),
        assignment_sha256=sha256_hex(seen) if seen else "",
        plan_id=plan_newest_id(),
        updates_waiting=updates_waiting(),
        acknowledged_seq=acknowledged_seq(),
        number=checkin_number_next(),
        heard_number=heard_number(),
        program=program_report(root=root, place=place),
    )


def _sequence_seen(root: Path) -> int:
    director_key = trusted_read(root / "tuf").director_key
    return seen_sequence(public_key_load(director_key)) if director_key else 0


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


def problems_find(root: Path) -> tuple[str, ...]:
    """Return the codes of what a person at the school should mend, in order, each once."""
    found: list[str] = []
    engine = engine_status(socket_path=engine_socket_path(root))
    if engine is not None and engine.code:
        found.append(engine.code)
    try:
        active = active_release(root=root)
    except FederationError as error:
        found.append(error.code)
    else:
        if active is not None and release_is_withdrawn(root=root, release=active):
            found.append(ReleaseWithdrawn.code)
    if disk_free_bytes(root) < RESERVE_BYTES:
        found.append(DiskFull.code)
    return tuple(dict.fromkeys(found))


def retry_after_seconds(errors: Collection[FederationError]) -> int:
    """Return for how long a centre that was busy wants to be left alone; 0 where it did not say."""
    asked = [error.fields["retry_after_seconds"] for error in errors if isinstance(error, CentreBusy)]
    return max((seconds for seconds in asked if isinstance(seconds, int)), default=0)


def envelope_seen() -> bytes:
    """Return the newest assignment that was accepted, as it was signed; empty before the first."""
    seen = SeenAssignment.objects.first()
    return bytes(seen.envelope) if seen else b""


def seen_sequence(director_key: VerifyingKey) -> int:
    """Return the sequence of the last assignment that was accepted from the director with this key; 0 before the first.

    A director whose key was revoked may have counted as high as it liked; its successor begins anew.
    """
    seen = SeenAssignment.objects.first()
    if seen is None or key_id(director_key) not in envelope_key_ids(bytes(seen.envelope)):
        return 0
    return seen.sequence


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
