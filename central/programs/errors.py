"""Why a program is not published or offered."""

from __future__ import annotations

from federation.errors import WireError


class ProgramUnknown(WireError):
    """No program has the version or number `program`."""

    code = "program_unknown"


class ProgramNotReady(WireError):
    """The program `program` is not signed and in force (`status`), so it cannot be offered."""

    code = "program_not_ready"
