"""Why a backup cannot be made or put back; each has a sentence in `node.sentences`."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError, WireError


class PassphraseRefused(WireError):
    """The passphrase is shorter than `least` characters, or was not typed twice alike."""

    code = "backup_passphrase_refused"


class PassphraseWrong(WireError):
    """The backup was not made with this passphrase, or its first lines were altered."""

    code = "backup_passphrase_wrong"


class BackupUnreadable(WireError):
    """The file is no backup of this program."""

    code = "backup_unreadable"


class BackupDamaged(TrustError):
    """Something of the backup is not as it was written: altered, or cut short."""

    code = "backup_damaged"


class BackupTooNew(WireError):
    """The backup was made by a newer program, which keeps things that this one does not know."""

    code = "backup_too_new"


class BackupOfAnotherSchool(WireError):
    """The backup is of `school`, and this PC belongs to another."""

    code = "backup_of_another_school"


class BackupNotProved(TransportError):
    """What was read back from the medium is not what was written on it."""

    code = "backup_not_proved"


class BackupCut(TransportError):
    """The process that made a backup, or put one back, ended without a word."""

    code = "backup_cut"


class BackupStopped(TransportError):
    """Somebody stopped the making of a backup, or the putting back, before it was done."""

    code = "backup_stopped"


class BackupUnderWay(TransportError):
    """Another backup is being made or put back here."""

    code = "backup_under_way"


class RestoreUnsettled(CapacityError):
    """Nobody has said yet whether the backup that was put back last works."""

    code = "restore_unsettled"


class NothingToUndo(WireError):
    """No data from before a restore is kept here."""

    code = "nothing_to_undo"


class NodeRunning(CapacityError):
    """The damaged database is open in the running program, the process `pid`."""

    code = "node_running"
