"""Publishes programs, offers them to schools and hears what became of them; the only writer of the app's tables.

Rules, in order:
1. A program is offered once TUF's targets hold it; who gets it is the director's word, as with releases.
2. A school is offered the newest program that is meant for it. While that one is paused, nothing is.
3. A program that more PCs gave up than are allowed to pauses by itself, and a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Max

from central.disk import CentreDisk
from central.programs.errors import ProgramNotReady, ProgramUnknown
from central.programs.models import Program, ProgramStanding, ProgramStatus
from central.releases.blob_store import blob_store
from central.schools.audit import audit_record
from central.schools.models import Node, School
from central.schools.reach import entity_of, region_expect, steering_expect
from central.schools.transitions import status_move
from federation.trust.release_bytes import files_list, index_digest
from federation.trust.tuf_publisher import signatures_missing, target_publish, targets_read, targets_withdraw
from federation.trust.tuf_roles import changes_waiting
from federation.wire.canonical import canonical_bytes
from federation.wire.programs import ProgramReport
from federation.wire.releases import ReleaseIndex, ReleaseKind, Variant

CENTRE = "centre"
MAX_VERSION, MAX_CODE, MAX_FORM = 60, 64, 20


def program_find(text: str) -> Program:
    """Return the program of this version or number.

    Raises:
        ProgramUnknown: there is none.
    """
    found = Program.objects.filter(version=text).first()
    if found is None and text.isdecimal():
        found = Program.objects.filter(number=int(text)).first()
    if found is None:
        raise ProgramUnknown(program=text)
    return found


def program_publish(
    *, version: str, folders: Mapping[str, Path], disk: CentreDisk, actor: str, now: datetime
) -> Program:
    """Return the program whose files, by the name of each form such as `cp311`, lie in `folders`.

    Nobody is offered it yet. One of this version that is there already stays as it is, so that a publication that was
    cut can be repeated.

    Raises:
        SignaturesMissing: the targets key is elsewhere; the program becomes ready once it has signed.
        RepositoryMissing, KeyUnreadable: the online keys are not on this machine.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    region_expect(actor=actor, region="", entity="programs.program")
    program = Program.objects.filter(version=version).first() or _program_keep(version, folders, disk, actor, now)
    if program.status != ProgramStatus.AWAITING_SIGNATURE:
        return program
    content = bytes(program.index_bytes)
    if not target_publish(root=disk.tuf, keys=disk.keys, path=program.target_path, content=content, now=now):
        raise signatures_missing(changes_waiting(root=disk.tuf))
    status_move(program, to=ProgramStatus.READY, actor=actor, now=now)
    return program


def programs_signed_finish(*, disk: CentreDisk, now: datetime) -> int:
    """Make ready what the targets key has signed elsewhere since; return how many programs."""
    waiting = list(Program.objects.filter(status=ProgramStatus.AWAITING_SIGNATURE))
    published = frozenset(targets_read(root=disk.tuf)) if waiting else frozenset()
    signed = [each for each in waiting if each.target_path in published]
    for program in signed:
        status_move(program, to=ProgramStatus.READY, actor="targets key", now=now)
    return len(signed)


def program_offer(
    *,
    program: Program,
    schools: Sequence[School],
    is_for_all: bool,
    failures_allowed: int | None,
    actor: str,
    now: datetime,
) -> None:
    """Let these schools have the program besides those that were offered it before, or all schools.

    Raises:
        ProgramNotReady: it is not signed, or was withdrawn.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    steering_expect(actor=actor, rows=[program])
    if program.status not in (ProgramStatus.READY, ProgramStatus.PAUSED):
        raise ProgramNotReady(program=program.version, status=program.status)
    told = "all" if is_for_all else ", ".join(school.name for school in schools)
    with transaction.atomic():
        program.is_for_all = program.is_for_all or is_for_all
        if failures_allowed is not None:
            program.failures_allowed = failures_allowed
        program.save(update_fields=["is_for_all", "failures_allowed"])
        program.schools.add(*schools)
        audit_record(actor=actor, entity=entity_of(program), old="", new="offered", reason=told[:200], now=now)


def program_pause(*, program: Program, actor: str, reason: str, now: datetime) -> None:
    """Offer the program to nobody for now; a PC that has it keeps it.

    Raises:
        StatusMoveIllegal, StatusConflict: it is not ready.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    status_move(program, to=ProgramStatus.PAUSED, actor=actor, reason=reason, now=now)


def program_resume(*, program: Program, actor: str, now: datetime) -> None:
    """Offer the program again to whom it was offered.

    Raises:
        StatusMoveIllegal, StatusConflict: it is not paused.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    status_move(program, to=ProgramStatus.READY, actor=actor, now=now, only_from=ProgramStatus.PAUSED)


def program_withdraw(*, program: Program, disk: CentreDisk, actor: str, reason: str, now: datetime) -> None:
    """Take the program out of TUF's targets: no PC takes it any more. One that runs it keeps it until a newer one.

    Raises:
        StatusMoveIllegal, StatusConflict: it was withdrawn before.
        SignaturesMissing: the targets key is elsewhere and has to sign; nobody is offered the program meanwhile.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    status_move(program, to=ProgramStatus.WITHDRAWN, actor=actor, reason=reason, now=now)
    if not targets_withdraw(root=disk.tuf, keys=disk.keys, paths=[program.target_path], now=now):
        raise signatures_missing(changes_waiting(root=disk.tuf))


def program_report_take_in(*, node: Node, report: ProgramReport | None, now: datetime) -> None:
    """Record what the node says of its program; where it is one failure too many, the failed program pauses."""
    if report is None:
        return
    failed = report.failed[:MAX_VERSION]
    facts = {
        "version": report.version[:MAX_VERSION],
        "form": report.form[:MAX_FORM],
        "failed": failed,
        "code": report.code[:MAX_CODE],
        "heard_at": now,
    }
    ProgramStanding.objects.update_or_create(node=node, defaults=facts)
    program = Program.objects.filter(version=failed, status=ProgramStatus.READY).first() if failed else None
    if program is not None and ProgramStanding.objects.filter(failed=failed).count() > program.failures_allowed:
        program_pause(program=program, actor=CENTRE, reason="too_many_failures", now=now)


def _program_keep(version: str, folders: Mapping[str, Path], disk: CentreDisk, actor: str, now: datetime) -> Program:
    """Return the new program, whose files are blobs now."""
    store = blob_store(disk)
    variants = []
    for tag, folder in sorted(folders.items()):
        files = files_list(folder)
        for entry in files:
            store.put(folder / entry.path)
        variants.append(Variant(name=tag, memory_bytes=0, gpu_memory_bytes=0, files=files))
    with transaction.atomic():
        number = (Program.objects.aggregate(newest=Max("number"))["newest"] or 0) + 1
        index = ReleaseIndex(
            kind=ReleaseKind.PROGRAM,
            version=number,
            title=version,
            base=None,
            files=(),
            contributions=(),
            variants=tuple(variants),
        )
        program = Program.objects.create(
            number=number,
            version=version,
            digest=index_digest(index),
            index_bytes=canonical_bytes(index),
            created_by=actor,
            created_at=now,
        )
        audit_record(actor=actor, entity=entity_of(program), old="", new=program.status, reason="", now=now)
    return program
