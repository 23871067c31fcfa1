"""Why a program cannot be changed for a newer one."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError


class UpdateStateUnreadable(CapacityError):
    """`update.json` beside the program cannot be read: the disk is failing or a person has edited it."""

    code = "update_state_unreadable"


class ProgramOlder(TrustError):
    """The program `version` is older than the one in use."""

    code = "program_older"


class ProgramDamaged(TrustError):
    """The file `path` of a program is not what TUF vouches for."""

    code = "program_damaged"


class ProgramNotLaid(TransportError):
    """The program could not be laid beside the one in use; `problem` is the end of what was said."""

    code = "program_not_laid"


class ProgramMigrationFailed(TrustError):
    """The program could not bring a copy of the school's database up to its tables."""

    code = "program_migration_failed"


class ProgramPageSilent(TrustError):
    """The program's page did not answer in time."""

    code = "program_page_silent"


class ProgramEngineSilent(TrustError):
    """The program's engine did not hold the release that runs here in time."""

    code = "program_engine_silent"


class ProgramCrashLoop(TrustError):
    """The PC went down each time that the program was tried."""

    code = "program_crash_loop"
