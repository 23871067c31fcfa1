"""Refusals of the review and of erasures."""

from __future__ import annotations

from federation.errors import WireError


class CorrectionMissing(WireError):
    """A correction cannot be accepted as nothing; reject the rating instead."""

    code = "correction_missing"


class NothingMasked(WireError):
    """The words of a rating in which personal data were found are the same as before."""

    code = "nothing_masked"


class TeacherUnknown(WireError):
    """No rating is by the pseudonym `teacher`."""

    code = "teacher_unknown"
