"""Why the centre refuses a step of a rollout."""

from __future__ import annotations

from federation.errors import TrustError, WireError


class RolloutUnknown(WireError):
    """No rollout has this id."""

    code = "rollout_unknown"


class ReleaseNotReady(WireError):
    """The release is not signed and in force, so it cannot be offered."""

    code = "release_not_ready"


class WaveInvalid(WireError):
    """A wave's description names no schools, no share between 1% and 100% and no number of PCs; `wave` is it."""

    code = "wave_invalid"


class RolloutWithoutWaves(WireError):
    """A rollout needs at least one wave."""

    code = "rollout_without_waves"


class ApproverIsCreator(TrustError):
    """Whoever made a rollout may not approve it."""

    code = "approver_is_creator"


class ReasonMissing(WireError):
    """Overriding a wave's verdict needs a reason for the audit."""

    code = "reason_missing"


class WaveUndecided(WireError):
    """A paused rollout cannot go on while one of its waves has failed or waits for a person's word."""

    code = "wave_undecided"


class BudgetSpent(WireError):
    """More schools have failed than the rollout allows."""

    code = "budget_spent"


class ReleaseNeverRan(WireError):
    """Schools cannot return to a release that none of them has run."""

    code = "release_never_ran"


class WindowInvalid(WireError):
    """The hours in which schools change over begin and end at the same time."""

    code = "window_invalid"


class FilterNameTaken(WireError):
    """There is a filter of schools of this name."""

    code = "filter_name_taken"
