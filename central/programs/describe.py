"""What a program may want to know of a program: how it stands, for whom it is, and how many PCs run it."""

from __future__ import annotations

from typing import Any

from central.programs.models import Program, ProgramStanding


def programs_describe() -> list[dict[str, Any]]:
    """Return all programs, the newest first."""
    return [program_describe(program) for program in Program.objects.defer("index_bytes")]


def program_describe(program: Program) -> dict[str, Any]:
    """Return how one program stands."""
    return {
        "number": program.number,
        "version": program.version,
        "digest": program.digest,
        "status": program.status,
        "is_for_all": program.is_for_all,
        "schools": program.schools.count(),
        "running": pcs_running(program),
        "given_up": pcs_given_up(program),
    }


def pcs_running(program: Program) -> int:
    """Return on how many PCs it runs."""
    return ProgramStanding.objects.filter(version=program.version).count()


def pcs_given_up(program: Program) -> int:
    """Return how many PCs gave it up."""
    return ProgramStanding.objects.filter(failed=program.version).count()
