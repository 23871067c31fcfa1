"""Which program a school is offered: read once for all schools, chosen without a query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from central.programs.models import Program, ProgramStatus

_LOOKED_THROUGH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedProgram:
    """One of the newest programs; an empty `digest` means that it is paused."""

    digest: str
    is_for_all: bool
    schools: frozenset[int]


def programs_offered() -> tuple[OfferedProgram, ...]:
    """Return the newest programs that are in force, the newest first."""
    rows = Program.objects.filter(status__in=(ProgramStatus.READY, ProgramStatus.PAUSED)).defer("index_bytes")
    return tuple(
        OfferedProgram(
            digest=each.digest if each.status == ProgramStatus.READY else "",
            is_for_all=each.is_for_all,
            schools=frozenset(school.pk for school in each.schools.all()),
        )
        for each in rows.prefetch_related("schools")[:_LOOKED_THROUGH]
    )


def program_for(*, school_id: int, offered: Sequence[OfferedProgram]) -> str:
    """Return the digest of the newest program that is meant for the school; empty where none is, or it is paused."""
    meant = (each.digest for each in offered if each.is_for_all or school_id in each.schools)
    return next(meant, "")
