"""Why a USB stick, or something on it, was not used or not written."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError, WireError


class StickUnknown(CapacityError):
    """The folder `place` is no stick that the centre has prepared: `problem`."""

    code = "stick_unknown"


class StickFull(CapacityError):
    """The stick has `free_bytes` where `needed_bytes` are needed; what lies on it is as it was."""

    code = "stick_full"


class StickForbidden(CapacityError):
    """The stick at `place` is write-protected, or this program's user may not use it."""

    code = "stick_forbidden"


class StickGone(TransportError):
    """The stick at `place` stopped answering (`problem`): pulled out, or failing."""

    code = "stick_gone"


class StickCrowded(WireError):
    """A folder on the stick has more entries than any stick needs: `most`."""

    code = "stick_crowded"


class LetterTooLong(WireError):
    """A file on the stick is longer than `limit_bytes`, or would be once inflated."""

    code = "letter_too_long"


class LetterUnreadable(TrustError):
    """A sealed file is cut short, altered, of another kind, or for another reader: nobody can tell which."""

    code = "letter_unreadable"


class LetterOfOtherReader(TrustError):
    """The signed letter names another reader than the one it was sealed to."""

    code = "letter_of_other_reader"
