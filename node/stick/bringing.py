"""Take in what a stick brings, in the steps of a contact by link: enrolment, metadata, letter, release.

A step that fails is written down and the next is tried all the same, so that an old list of releases holds up an
installation and not a receipt. A stick that is older than what this PC has seen brings no news, but its bytes are as
good as any: what is installed is always what the newest trusted word names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from federation.errors import FederationError
from federation.trust.errors import MetadataExpired, MetadataRolledBack
from federation.trust.folder_transport import (
    BASE_URL,
    FolderTransport,
    Reader,
    folder_client,
    kept_reader,
    stick_reader,
)
from federation.trust.keys import key_id
from federation.trust.release_bytes import index_digest
from federation.trust.stick_blobs import StickBlobSource
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_letters import letter_open, letter_read
from federation.trust.tuf_client import TrustedReleases
from federation.wire.courier import CentreLetter
from federation.wire.releases import Assignment, CheckInAnswer, InstallState, ReleaseIndex
from node.installed.hardware import GAUGES, Gauges
from node.installed.self_test import SelfTest, self_test_run
from node.installed.services import release_install, running_is_withdrawn, superseded_remove
from node.installed.state import Phase, slots_read
from node.programs.place import HERE, ProgramPlace
from node.programs.services import program_leave, program_take
from node.rounds.services import plan_receive, updates_find_shipped
from node.stick.address import address_hear
from node.stick.enrolment import answer_take, own_key
from node.stick.first_release import first_release_read
from node.stick.outcomes import BroughtIn, Failure
from node.sync.assignment import assignment_verify
from node.sync.change_over import assignment_seen, is_time_to_change_over
from node.sync.claim import is_claim_kept
from node.sync.enrol import Enrolment, enrolment_keep, enrolment_read
from node.sync.errors import AssignmentRolledBack
from node.sync.heard import answer_hear
from node.sync.journal import Journal
from node.sync.services import ContactTimes, assignment_keep, seen_sequence, trial_await
from node.sync.transport import CountingTransport

Heard: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What taking a stick in needs of this PC, beside the stick."""

    root: Path
    clock: Callable[[], datetime]
    times: ContactTimes = field(default_factory=ContactTimes)
    self_test: SelfTest = self_test_run
    gauges: Gauges = GAUGES
    place: ProgramPlace | None = HERE
    """Where this PC's program lies."""
    heard: Heard = lambda _step, _done, _total: None
    """Hears the step, and of its bytes how many are done and how many there are."""


class BringingIn:
    """One stick taken in; used once."""

    def __init__(self, *, disk: StickDisk, bench: Bench) -> None:
        """Prepare it.

        Raises:
            KeyUnreadable: this PC's key is damaged.
        """
        self.disk, self.bench = disk, bench
        self.key = own_key(bench.root)
        # Nothing of a stick crosses the link.
        self.journal = Journal(counter=CountingTransport(FolderTransport()), clock=bench.clock)
        self.outcome = BroughtIn()

    def all(self) -> BroughtIn:
        """Return what came of it.

        Raises:
            StickUnknown: the centre has not prepared this stick.
            StickGone: it was pulled out before anything was read.
            NotEnrolled: this PC has no school, and has asked for none.
            TrustError: this PC has no school yet, and the stick's answer is not to be trusted.
        """
        self.disk.open()
        is_enrolled = (self.bench.root / "node.json").exists()
        envelope = self._letter_read()
        letter = None if is_enrolled else self._enrol(envelope)
        if not (self.bench.root / "node.json").exists():
            # An answer to the request to enrol takes a second stick; a model need not wait for it.
            if is_claim_kept(self.bench.root):
                self._install(self._metadata_refresh())
            return self._told()
        enrolment = enrolment_read(self.bench.root)
        trusted = self._metadata_refresh()
        letter = letter or self._letter_open(envelope, trusted)
        if letter is not None:
            self._letter_apply(letter, trusted, enrolment)
        self._install(trusted)
        self.outcome = replace(self.outcome, is_withdrawn=running_is_withdrawn(root=self.bench.root))
        return self._told()

    def _told(self) -> BroughtIn:
        return replace(self.outcome, failures=tuple(_failure(*failed) for failed in self.journal.failures.items()))

    def _letter_read(self) -> bytes | None:
        envelope = None
        with self.journal.step("stick-letter", may_fail=True) as detail:
            self.bench.heard("letter", 0, 0)
            envelope = letter_read(disk=self.disk, key=self.key)
            detail.append("none for this PC" if envelope is None else f"{len(envelope)} bytes")
        return envelope

    def _enrol(self, envelope: bytes | None) -> CentreLetter | None:
        """Return the letter that was opened on the way, if any; a PC that is refused stays without a school."""
        if envelope is None:
            if failure := self.journal.failures.get("stick-letter"):
                raise failure
            return None
        with self.journal.step("stick-enrolment"):
            letter = answer_take(
                root=self.bench.root,
                envelope=envelope,
                key=self.key,
                trusted=lambda: self._releases(stick_reader(self.disk)),
                now=self.bench.clock(),
            )
        school = letter.enrolment.school if letter.enrolment else ""
        self.outcome = replace(self.outcome, has_letter=True, school=school, refusal=letter.refusal)
        return letter

    def _metadata_refresh(self) -> TrustedReleases | None:
        """Return the releases to install from, or None where nothing may be installed now."""
        now, releases = self.bench.clock(), self._releases(stick_reader(self.disk))
        with self.journal.step("stick-metadata", may_fail=True) as detail:
            self.bench.heard("metadata", 0, 0)
            try:
                releases.refresh(now=now)
            except (MetadataRolledBack, MetadataExpired) as older:
                # What this PC trusted last may still be in force; then the stick's bytes are as good as any.
                releases = self._releases(kept_reader(self.bench.root / "tuf"), stick_reader(self.disk))
                self._refresh_kept(releases, now, older)
                self.outcome = replace(self.outcome, is_older=True)
                detail.append(f"older than what is trusted ({older.code})")
            detail.append(f"{len(releases.trusted.releases)} releases trusted")
        return None if "stick-metadata" in self.journal.failures else releases

    def _refresh_kept(self, releases: TrustedReleases, now: datetime, older: FederationError) -> None:
        try:
            releases.refresh(now=now)
        except FederationError:
            raise older from None

    def _letter_open(self, envelope: bytes | None, trusted: TrustedReleases | None) -> CentreLetter | None:
        if envelope is None:
            return None
        letter = None
        with self.journal.step("stick-letter", may_fail=True):
            # Receipts count also where the list of releases does not: the director's key is known from before.
            releases = trusted or self._releases(stick_reader(self.disk))
            letter = letter_open(envelope, director_key=releases.director_key, reader=key_id(self.key))
        return None if "stick-letter" in self.journal.failures else letter

    def _letter_apply(self, letter: CentreLetter, trusted: TrustedReleases | None, enrolment: Enrolment) -> None:
        self.outcome = replace(self.outcome, has_letter=True, refusal=letter.refusal)
        if letter.answer is None:
            return
        self._address_take(letter)
        with self.journal.step("stick-receipts", may_fail=True) as detail:
            settled = answer_hear(root=self.bench.root, epoch=letter.epoch, answer=letter.answer)
            self.outcome = replace(self.outcome, ratings_safe=settled.ratings, updates_settled=settled.updates)
            detail.append(f"{settled.ratings} ratings safe, {settled.updates} updates settled")
        releases = trusted or self._releases(stick_reader(self.disk))
        self._plan_take(letter.answer, releases)
        if trusted is not None:
            self._assignment_take(letter.answer, releases, enrolment)

    def _address_take(self, letter: CentreLetter) -> None:
        before = enrolment_read(self.bench.root)
        after = address_hear(before, letter)
        if after != before:
            enrolment_keep(self.bench.root, after)
        if not before.central_url:
            self.outcome = replace(self.outcome, address=after.central_url)

    def _plan_take(self, answer: CheckInAnswer, releases: TrustedReleases) -> None:
        if answer.round_plan is None:
            return
        with self.journal.step("stick-plan", may_fail=True):
            plan_receive(envelope=answer.round_plan, director_key=releases.director_key, now=self.bench.clock())
            self.outcome = replace(self.outcome, has_plan=True)

    def _assignment_take(self, answer: CheckInAnswer, releases: TrustedReleases, enrolment: Enrolment) -> None:
        if answer.assignment is None:
            return
        with self.journal.step("stick-assignment", may_fail=True) as detail:
            try:
                assignment = assignment_verify(
                    answer.assignment,
                    director_key=releases.director_key,
                    node_id=enrolment.node_id,
                    seen_sequence=seen_sequence(releases.director_key),
                    trusted=releases.trusted.releases,
                )
            except AssignmentRolledBack as older:
                # A late stick is no attack and no fault: what it says was said better since.
                self.outcome = replace(self.outcome, is_older=True)
                detail.append(str(older))
            else:
                assignment_keep(assignment=assignment, envelope=answer.assignment, now=self.bench.clock())

    def _install(self, trusted: TrustedReleases | None) -> None:
        """Take the release that the newest accepted word names as far as this stick's bytes go."""
        assignment = assignment_seen()
        if trusted is None:
            return
        if assignment is None:
            self._first_install(trusted)
            return
        self.outcome = replace(self.outcome, waiting_reason=assignment.waiting_reason)
        if assignment.program and self.bench.place is not None:
            self._program_take(trusted, assignment, self.bench.place)
        else:
            program_leave(root=self.bench.root)
        if assignment.release is None:
            return
        with self.journal.step("stick-install", may_fail=True) as detail:
            index = trusted.index_fetch(assignment.release)
            self.outcome = replace(self.outcome, release_version=index.version)
            state = self._index_install(
                index,
                trusted.index_fetch(index.base) if index.base else None,
                variant=assignment.variant,
                sequence=assignment.sequence,
                may_change_over=lambda: is_time_to_change_over(
                    assignment, root=self.bench.root, clock=self.bench.clock
                ),
            )
            detail.append(state.value)

    def _program_take(self, trusted: TrustedReleases, assignment: Assignment, place: ProgramPlace) -> None:
        with self.journal.step("stick-program", may_fail=True) as detail:
            step = program_take(
                root=self.bench.root,
                place=place,
                index=trusted.program_fetch(assignment.program),
                source=StickBlobSource(self.disk),
                may_change_over=lambda: is_time_to_change_over(
                    assignment, root=self.bench.root, clock=self.bench.clock
                ),
                progress=lambda done, total: self.bench.heard("program", done, total),
            )
            detail.append(step.value)

    def _index_install(
        self,
        index: ReleaseIndex,
        base_index: ReleaseIndex | None,
        *,
        variant: str,
        sequence: int,
        may_change_over: Callable[[], bool] = lambda: True,
    ) -> InstallState:
        """Take the release as far as this stick's bytes go, and what the engine says of it."""
        state = release_install(
            root=self.bench.root,
            index=index,
            base_index=base_index,
            variant=variant,
            sequence=sequence,
            gauges=self.bench.gauges,
            source=StickBlobSource(self.disk),
            clock=self.bench.clock,
            self_test=self.bench.self_test,
            may_change_over=may_change_over,
            progress=lambda done, total: self.bench.heard("release", done, total),
        )
        if state is InstallState.TRIAL:
            self.bench.heard("trial", 0, 0)
            trial_await(root=self.bench.root, times=self.bench.times)
        updates_find_shipped(root=self.bench.root)
        superseded_remove(root=self.bench.root, assigned=index_digest(index), now=self.bench.clock())
        is_committed = slots_read(self.bench.root).phase is Phase.COMMITTED
        shown = InstallState.COMMITTED if state is InstallState.TRIAL and is_committed else state
        self.outcome = replace(self.outcome, release_state=shown.value)
        return state

    def _first_install(self, trusted: TrustedReleases) -> None:
        """Take the release that an installation stick begins with, where nothing was ever assigned or runs here."""
        if slots_read(self.bench.root).current is not None:
            return
        with self.journal.step("stick-first-release", may_fail=True):
            word = first_release_read(disk=self.disk, director_key=trusted.director_key)
            if word is None:
                return
            index = trusted.index_fetch(word.release)
            self.outcome = replace(self.outcome, release_version=index.version, is_first_release=True)
            self._index_install(index, None, variant=word.variant, sequence=0)

    def _releases(self, *readers: Reader) -> TrustedReleases:
        return TrustedReleases(root=self.bench.root / "tuf", base_url=BASE_URL, client=folder_client(*readers))


def _failure(step: str, error: FederationError) -> Failure:
    return Failure(step=step, code=error.code, fields={name: str(value)[:300] for name, value in error.fields.items()})
