"""Fetch the program that the director names, and lay it ready for root to take; the only writer of `programs/`.

The service's user can neither write a program nor choose one: what it leaves here is looked at by root against root's
own trust (node.updater). It needs no database, because the database is among what an update changes.
"""

from __future__ import annotations

import enum
import shutil
from collections.abc import Callable
from pathlib import Path

from federation.trust.blob_sources import BlobSource
from federation.trust.durable import durable_write
from federation.trust.fetch import disk_free_bytes, release_fetch
from federation.trust.release_bytes import index_digest, variant_read
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.programs import ProgramReport
from federation.wire.releases import ReleaseIndex
from node.programs.errors import UpdateStateUnreadable
from node.programs.place import ProgramPlace, form_for, version_of
from node.programs.state import is_given_up, update_read

FOLDER, READY, TOLD = "programs", "ready", "told"


class ProgramStep(enum.Enum):
    """How far the program that the director names is."""

    IN_USE = "in use"
    GIVEN_UP = "given up"
    FETCHED = "fetched"
    READY = "ready"


def ready_path(root: Path) -> Path:
    """Return the file that names the digest of the program that root may take."""
    return root / FOLDER / READY


def fetched_path(root: Path, digest: str) -> Path:
    """Return where the files of a fetched program lie."""
    return root / FOLDER / digest


def program_take(
    *,
    root: Path,
    place: ProgramPlace,
    index: ReleaseIndex,
    source: BlobSource,
    disk_free: Callable[[Path], int] = disk_free_bytes,
    should_stop: Callable[[], bool] = lambda: False,
    may_change_over: Callable[[], bool] = lambda: True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ProgramStep:
    """Take the program as far as the node can, and return how far that is; READY is root's to go on with.

    Wheels that the program in use has as well are taken from there. FETCHED waits until it `may_change_over`.

    Raises:
        TransportError: the link ended; what is verified is kept.
        DiskFull, ChunkMismatch: as `release_fetch`.
        VariantUnknown: there is none for this PC's Python, or none with which a PC learns that does.
    """
    digest = index_digest(index)
    step = _standing(root, place, digest, index.title)
    if step in (ProgramStep.IN_USE, ProgramStep.GIVEN_UP):
        _clear(root, keep="")
        return step
    into = fetched_path(root, digest)
    if step is None:
        into.parent.mkdir(exist_ok=True)
        _clear(root, keep=digest)
        release_fetch(
            index=index,
            variant=form_for(place.current),
            source=source,
            into=into,
            partial=into.with_suffix(".partial"),
            reuse=[place.current.resolve()],
            disk_free=disk_free,
            should_stop=should_stop,
            progress=progress,
        )
    if step is not ProgramStep.READY and may_change_over():
        durable_write(ready_path(root), digest.encode())
    return ProgramStep.READY if ready_path(root).exists() else ProgramStep.FETCHED


def program_leave(*, root: Path) -> None:
    """Let root take no program, because the director names none, or none any more."""
    ready_path(root).unlink(missing_ok=True)


def is_program_due(*, root: Path, place: ProgramPlace, digest: str, may_change_over: Callable[[], bool]) -> bool:
    """Tell whether the node has something to do for the program that the director names, be it to tidy up after it."""
    step = _standing(root, place, digest, None)
    if step in (ProgramStep.IN_USE, ProgramStep.GIVEN_UP):
        return fetched_path(root, digest).exists()
    return step is None or (step is ProgramStep.FETCHED and may_change_over())


def program_report(*, root: Path, place: ProgramPlace | None) -> ProgramReport | None:
    """Return what the centre has not heard of the program here; None where there is nothing to tell."""
    report = program_standing(place)
    return None if report is None or _told(root) == _mark(report) else report


def program_report_heard(*, root: Path, report: ProgramReport | None) -> None:
    """Remember that the centre has heard `report`."""
    if report is not None:
        (root / FOLDER).mkdir(exist_ok=True)
        durable_write(root / FOLDER / TOLD, _mark(report).encode())


def program_standing(place: ProgramPlace | None) -> ProgramReport | None:
    """Return which program runs here and which was given up last; None where nothing updates it."""
    if place is None:
        return None
    try:
        given_up = update_read(place.opt).given_up[-1:]
    except UpdateStateUnreadable as error:
        return ProgramReport(version=version_of(place.current), code=error.code, form=form_for(place.current))
    failed, code = (given_up[0].version, given_up[0].code) if given_up else ("", "")
    version, form = version_of(place.current), form_for(place.current)
    return ProgramReport(version=version, failed=failed, code=code, form=form)


def _standing(root: Path, place: ProgramPlace, digest: str, version: str | None) -> ProgramStep | None:
    """Return how far the program `digest` is here; None where it is not whole yet."""
    current = place.current.resolve()
    if version_of(current) == version or _digest_of(current) == digest:
        return ProgramStep.IN_USE
    if is_given_up(update_read(place.opt), digest):
        return ProgramStep.GIVEN_UP
    # A stick may have changed the form since it was fetched.
    if variant_read(fetched_path(root, digest)) != form_for(current):
        return None
    ready = ready_path(root)
    is_ready = ready.exists() and ready.read_bytes() == digest.encode()
    return ProgramStep.READY if is_ready else ProgramStep.FETCHED


def _digest_of(folder: Path) -> str:
    try:
        return sha256_hex((folder / "index.json").read_bytes())
    except OSError:
        return ""


def _clear(root: Path, *, keep: str) -> None:
    """Remove every program but `keep` and what has come of it; the wheels of the one in use lie with it."""
    folder = root / FOLDER
    if not folder.is_dir():
        return
    ready_path(root).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and path.stem != keep and path.name != "rehearsal":
            shutil.rmtree(path)


def _told(root: Path) -> str:
    try:
        return (root / FOLDER / TOLD).read_text("ascii")
    except OSError:
        return ""


def _mark(report: ProgramReport) -> str:
    return sha256_hex(canonical_bytes(report))
