"""The only writer of the node's releases, of `state.json` and of the install records.

The state file is the truth about what runs, because it must be readable when the database is not; a record follows it
and is what the centre hears. Both may be written by several processes, so each step holds a lock and writes the state
first: a cut between the two leaves a record that `install_reports` sets right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from federation.errors import CapacityError, FederationError, TrustError
from federation.trust.blob_sources import BlobSource
from federation.trust.errors import DiskFull, ReleaseDamaged
from federation.trust.fetch import disk_free_bytes, nobody, release_fetch
from federation.trust.peers import Peer
from federation.trust.release_bytes import index_digest, variant_read
from federation.trust.tuf_client import trusted_read
from federation.wire.releases import InstallReport, InstallState, ReleaseIndex
from node.installed import state
from node.installed.active import ActiveRelease, active_release, release_open
from node.installed.counted_source import CountedSource
from node.installed.disk import (
    download_path,
    downloads_forget,
    downloads_present,
    downloads_remove,
    release_path,
    releases_present,
    releases_remove,
)
from node.installed.errors import BaseMissing, SelfTestInterrupted, TrialCrashLoop
from node.installed.first_look import package_check
from node.installed.hardware import GAUGES, Gauges
from node.installed.models import NEXT, InstallRecord, InstallStatus
from node.installed.room import room_make
from node.installed.self_test import SelfTest, SelfTestVerdict, self_test_run
from node.installed.state import Phase, Slots, slots_locked, slots_read, slots_write
from node.installed.withdrawn import is_withdrawn

REPORTED_RECORDS = 5
DOWNLOAD_KEPT = timedelta(days=14)
logger = logging.getLogger(__name__)


def releases_beside(*, root: Path) -> tuple[ActiveRelease, ...]:
    """Return what can answer beside the release that runs, on the very base that is loaded: newest first.

    That is the previous release, while it is kept and belongs to that base, and the base alone; neither, once it was
    withdrawn.

    Raises:
        ReleaseDamaged: the directory of the release that runs, or of its base, is not in order.
        StateUnreadable: `state.json` is not in order.
    """
    active, previous = active_release(root=root), slots_read(root).previous
    if active is None:
        return ()
    digests = dict.fromkeys(digest for digest in (previous, active.index.base) if digest and _is_present(root, digest))
    found = [release_open(root=root, digest=digest) for digest in digests if digest != active.digest]
    return tuple(
        release
        for release in found
        if release.package == active.package and not release_is_withdrawn(root=root, release=release)
    )


def running_is_withdrawn(*, root: Path) -> bool:
    """Return whether the centre has withdrawn what runs here, by the newest metadata that was verified here.

    What is not in order is not withdrawn: `active_release` names what is wrong with it.
    """
    try:
        active = active_release(root=root)
    except FederationError:
        return False
    return active is not None and release_is_withdrawn(root=root, release=active)


def release_is_withdrawn(*, root: Path, release: ActiveRelease) -> bool:
    """Return whether the centre has withdrawn `release` or its base, by the newest metadata that was verified here."""
    return is_withdrawn(digest=release.digest, index=release.index, trusted=trusted_read(root / "tuf"))


def release_install(  # noqa: PLR0913 - all are named, and most are for tests and sticks
    *,
    root: Path,
    index: ReleaseIndex,
    base_index: ReleaseIndex | None,
    variant: str = "",
    sequence: int,
    source: BlobSource,
    peers: Callable[[], Sequence[Peer]] = nobody,
    clock: Callable[[], datetime],
    self_test: SelfTest = self_test_run,
    disk_free: Callable[[Path], int] = disk_free_bytes,
    gauges: Gauges = GAUGES,
    should_stop: Callable[[], bool] = lambda: False,
    may_change_over: Callable[[], bool] = lambda: True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> InstallState:
    """Take the assigned release as far as it goes now, and return how far that is; TRIAL awaits the engine.

    STAGED is a release that waits until it `may_change_over`.

    Repeating it after a cut goes on where it was. A release that was refused under this `sequence` stays refused.
    `index` and `base_index` (of an adapter) come verified from `TrustedReleases.index_fetch`. `variant` is the form in
    which the base comes, if it has several; one that lies here already stays in the form that it has.

    Raises:
        TransportError: the link ended, or another release is on trial; try later.
        MemoryTooSmall, GpuTooSmall, EngineTooOld: this PC cannot run it; recorded for the next check-in.
        DiskFull, ChunkMismatch, VariantUnknown: as `release_fetch`; recorded for the next check-in.
        BaseMissing: an adapter without its base.
    """
    digest = index_digest(index)
    slots = slots_read(root)
    if slots.current == digest and _is_present(root, digest):
        return _running_settle(slots, sequence, clock())
    record = _record_open(digest, sequence, clock())
    # What runs here may have lost its directory: then its bytes come again, and nothing else changes.
    if record.status == InstallStatus.DOWNLOADING or slots.current == digest:
        release_stage(
            root=root,
            index=index,
            base_index=base_index,
            variant=variant,
            sequence=sequence,
            source=source,
            peers=peers,
            now=clock(),
            disk_free=disk_free,
            gauges=gauges,
            should_stop=should_stop,
            progress=progress,
        )
        record.refresh_from_db()
    if slots.current == digest:
        return _running_settle(slots, sequence, clock())
    if record.status in (InstallStatus.STAGED, InstallStatus.TESTING) and may_change_over():
        verdict = candidate_test(root=root, digest=digest, self_test=self_test, now=clock())
        if verdict.has_passed:
            candidate_begin_trial(root=root, now=clock())
        record.refresh_from_db()
    return InstallState(record.status)


def release_stage(
    *,
    root: Path,
    index: ReleaseIndex,
    base_index: ReleaseIndex | None,
    variant: str = "",
    sequence: int,
    source: BlobSource,
    peers: Callable[[], Sequence[Peer]] = nobody,
    now: datetime,
    disk_free: Callable[[Path], int] = disk_free_bytes,
    gauges: Gauges = GAUGES,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Return the release's directory, complete and verified, and its base's beside it; nothing runs differently yet.

    Raises:
        TransportError: the link ended; what is verified is kept.
        MemoryTooSmall, GpuTooSmall, EngineTooOld: recorded as SKIPPED, before anything of it is on the disk.
        DiskFull, ChunkMismatch, VariantUnknown: recorded as FAILED_DOWNLOAD or FAILED_VERIFY.
        BaseMissing: an adapter without its base.
    """
    digest = index_digest(index)
    record = _record_open(digest, sequence, now)
    if index.base and (base_index is None or index_digest(base_index) != index.base):
        raise BaseMissing(base=index.base)
    # What runs here has shown that it fits; where its directory was lost, nothing may keep it from coming again.
    if slots_read(root).current != digest:
        _package_judge(record, root, base_index or index, variant, source, peers(), gauges, now)
    wanted = [_Wanted.of(root, part, variant) for part in (base_index, index) if part is not None]
    partials = [part.partial for part in wanted]
    counted = CountedSource(source, record)

    def fetch() -> None:
        for part in wanted:
            release_fetch(
                index=part.index,
                variant=part.variant,
                source=counted,
                into=part.into,
                partial=part.partial,
                reuse=[*releases_present(root), *downloads_present(root)],
                peers=peers,
                disk_free=disk_free,
                should_stop=should_stop,
                progress=progress,
            )

    try:
        try:
            fetch()
        except DiskFull:
            assigned = {index_digest(part.index) for part in wanted}
            if not room_make(root=root, assigned=assigned, downloads=partials):
                raise
            fetch()
    except TrustError as error:
        _record_move(record, InstallStatus.FAILED_VERIFY, now, error.code)
        raise
    except CapacityError as error:
        _record_move(record, InstallStatus.FAILED_DOWNLOAD, now, error.code)
        raise
    finally:
        counted.write_down()
        # What another download had brought of this release was taken from it as the fetch began.
        downloads_remove(root, keep=partials)
    _record_move(record, InstallStatus.STAGED, now)
    return release_path(root, digest)


def candidate_test(*, root: Path, digest: str, self_test: SelfTest, now: datetime) -> SelfTestVerdict:
    """Return what the self-test says of the staged release; after a refusal it is recorded and what ran runs on.

    A test that never ends because it takes the machine down is refused once its tries are used up.

    Raises:
        IllegalStep: another release is on trial.
        ReleaseDamaged: the release's directory is not in order.
    """
    candidate = release_open(root=root, digest=digest)
    with slots_locked(root):
        slots = slots_read(root)
        is_worn_out = slots.phase is Phase.TESTING and slots.candidate == digest and slots.tries_left < 1
        if not is_worn_out:
            slots_write(root, state.candidate_test_begun(slots, candidate=digest))
    _newest_move(digest, InstallStatus.TESTING, now)
    verdict = (
        SelfTestVerdict(has_passed=False, code=SelfTestInterrupted.code, detail="")
        if is_worn_out
        else self_test(candidate.package, candidate.adapter)
    )
    if not verdict.has_passed:
        with slots_locked(root):
            slots_write(root, state.candidate_test_failed(slots_read(root)))
        _newest_move(digest, InstallStatus.REVERTED, now, verdict.code)
    return verdict


def candidate_begin_trial(*, root: Path, now: datetime) -> str:
    """Make the tested candidate the current release, on trial, and return its digest.

    Raises:
        IllegalStep: nothing is under test.
    """
    with slots_locked(root):
        slots = state.trial_begun(slots_read(root))
        slots_write(root, slots)
    digest = str(slots.current)
    _newest_move(digest, InstallStatus.TRIAL, now)
    return digest


def trial_load_begin(*, root: Path, now: datetime) -> ActiveRelease | None:
    """Return what the engine is to load next; call it before every load.

    A release on trial has one try fewer on the disk before it is loaded, and after the last one the previous release is
    current again.

    Raises:
        ReleaseDamaged: the release's directory is not in order.
    """
    with slots_locked(root):
        before = slots_read(root)
        after = state.load_begun(before)
        if after != before:
            slots_write(root, after)
    if after.current != before.current:
        _newest_move(str(before.current), InstallStatus.REVERTED, now, TrialCrashLoop.code)
    return active_release(root=root)


def trial_commit(*, root: Path, now: datetime) -> bool:
    """Let the release on trial stay, because it has answered; return whether one was on trial."""
    with slots_locked(root):
        slots = slots_read(root)
        if slots.phase is not Phase.TRIAL:
            return False
        slots_write(root, state.trial_committed(slots))
    _newest_move(str(slots.current), InstallStatus.COMMITTED, now)
    return True


def trial_revert(*, root: Path, error_code: str, now: datetime) -> str | None:
    """Go back from the release on trial to the previous one, and return the digest of what is current now.

    Raises:
        IllegalStep: nothing is on trial.
    """
    with slots_locked(root):
        before = slots_read(root)
        after = state.trial_reverted(before)
        slots_write(root, after)
    _newest_move(str(before.current), InstallStatus.REVERTED, now, error_code)
    return after.current


def superseded_remove(*, root: Path, assigned: str | None, now: datetime) -> tuple[str, ...]:
    """Leave on the disk only what runs, what ran before, the candidate and their bases; return what was removed.

    The caller runs this after `release_install`. What is assigned and staged waits for its time; without an `assigned`
    release, what is staged or half-finished waits for some days, because a paused rollout may go on.
    """
    with slots_locked(root):
        slots = slots_read(root)
        keep = {digest for digest in (slots.current, slots.previous, slots.candidate) if digest}
        keep |= _staged_waiting(assigned, now)
        removed = releases_remove(root, keep=keep)
    if assigned is None:
        downloads_forget(root, before=now - DOWNLOAD_KEPT)
    return removed


def _staged_waiting(assigned: str | None, now: datetime) -> set[str]:
    staged = InstallRecord.objects.filter(status=InstallStatus.STAGED)
    waiting = staged.filter(at__gt=now - DOWNLOAD_KEPT) if assigned is None else staged.filter(release=assigned)
    return set(waiting.values_list("release", flat=True))


def is_staged(*, digest: str, sequence: int) -> bool:
    """Return whether the release of the assignment `sequence` is all here and waits to be tested."""
    ready = (InstallStatus.STAGED, InstallStatus.TESTING)
    return InstallRecord.objects.filter(release=digest, sequence=sequence, status__in=ready).exists()


def is_settled(*, root: Path, digest: str, sequence: int) -> bool:
    """Return whether nothing is left to do for the assignment `sequence` of the release `digest`."""
    if slots_read(root).current == digest and _is_present(root, digest):
        return True
    record = InstallRecord.objects.filter(release=digest, sequence=sequence).first()
    return record is not None and not NEXT[record.status]


def install_reports(*, root: Path, now: datetime) -> tuple[InstallReport, ...]:
    """Return the newest record and those that the centre has not heard of, oldest first.

    Each is in agreement with the state file.
    """
    slots = slots_read(root)
    unsettled = [InstallStatus.STAGED, InstallStatus.TESTING, InstallStatus.TRIAL]
    for record in InstallRecord.objects.filter(status__in=unsettled):
        _record_agree(record, slots, now)
    records = InstallRecord.objects.all()
    newest = records.first()
    told = [] if newest is None else [newest, *records.filter(is_reported=False).exclude(pk=newest.pk)]
    return tuple(
        InstallReport(
            release=record.release,
            sequence=record.sequence,
            state=InstallState(record.status),
            error_code=record.error_code,
            bytes_fetched=record.bytes_fetched,
            at=record.at,
        )
        for record in reversed(told[:REPORTED_RECORDS])
    )


def install_reports_heard(*, reports: Sequence[InstallReport]) -> None:
    """Remember that the centre has these reports; a record that has moved since is told again."""
    for report in reports:
        same = {"release": report.release, "sequence": report.sequence, "status": report.state.value}
        InstallRecord.objects.filter(**same, is_reported=False).update(is_reported=True)


def install_is_settled(*, root: Path, digest: str, sequence: int) -> bool:
    """Tell whether nothing is left to do for this assignment: it was refused, or runs here and lies on the disk."""
    record = InstallRecord.objects.filter(release=digest, sequence=sequence).first()
    if record is None or NEXT[record.status]:
        return False
    return slots_read(root).current != digest or _is_present(root, digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A release that is to lie at `into`, in the form `variant` if it has several."""

    index: ReleaseIndex
    variant: str
    into: Path
    partial: Path

    @classmethod
    def of(cls, root: Path, index: ReleaseIndex, variant: str) -> _Wanted:
        digest = index_digest(index)
        into = release_path(root, digest)
        # A base that lies here may be running: it stays in the form in which it came.
        held = variant_read(into)
        is_named = held in [each.name for each in index.variants]
        chosen = "" if index.base else held if is_named else variant
        return cls(index=index, variant=chosen, into=into, partial=download_path(root, digest, chosen))


def _package_judge(
    record: InstallRecord,
    root: Path,
    package: ReleaseIndex,
    variant: str,
    source: BlobSource,
    peers: Sequence[Peer],
    gauges: Gauges,
    now: datetime,
) -> None:
    """Look at the package before it is fetched, and record why it is not."""
    try:
        package_check(root=root, package=package, variant=variant, source=source, peers=peers, gauges=gauges)
    except CapacityError as error:
        _record_move(record, InstallStatus.SKIPPED, now, error.code)
        raise
    except TrustError as error:
        _record_move(record, InstallStatus.FAILED_VERIFY, now, error.code)
        raise


def _record_agree(record: InstallRecord, slots: Slots, now: datetime) -> None:
    """Catch up with a state file that was written just before a cut."""
    if record.release == slots.current:
        _record_move(record, _running_status(slots), now)
    elif record.release != slots.candidate and record.status != InstallStatus.STAGED:
        _record_move(record, InstallStatus.REVERTED, now, TrialCrashLoop.code)


def _running_status(slots: Slots) -> InstallStatus:
    return InstallStatus.TRIAL if slots.phase is Phase.TRIAL else InstallStatus.COMMITTED


def _is_present(root: Path, digest: str) -> bool:
    try:
        release_open(root=root, digest=digest)
    except ReleaseDamaged:
        return False
    return True


def _running_settle(slots: Slots, sequence: int, now: datetime) -> InstallState:
    """Record an assignment of what already runs, and return how it runs."""
    status = _running_status(slots)
    _record_move(_record_open(str(slots.current), sequence, now), status, now)
    return InstallState(status)


def _record_open(digest: str, sequence: int, now: datetime) -> InstallRecord:
    record, _ = InstallRecord.objects.get_or_create(release=digest, sequence=sequence, defaults={"at": now})
    if record.status == InstallStatus.FAILED_DOWNLOAD:
        _record_move(record, InstallStatus.DOWNLOADING, now)
    return record


def _newest_move(digest: str, status: InstallStatus, now: datetime, error_code: str = "") -> None:
    record = InstallRecord.objects.filter(release=digest).first()
    if record is not None and record.status != status:
        _record_move(record, status, now, error_code)


def _record_move(record: InstallRecord, status: InstallStatus, now: datetime, error_code: str = "") -> None:
    """Compare and set: a step that another process has already made is left as it is."""
    allowed = [old for old, following in NEXT.items() if status in following]
    moved = InstallRecord.objects.filter(pk=record.pk, status__in=allowed).update(
        status=status, error_code=error_code, at=now, is_reported=False
    )
    record.refresh_from_db()
    if moved and error_code:
        logger.warning("release %s of assignment %d: %s %s", record.release, record.sequence, status, error_code)
