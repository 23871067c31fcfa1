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
    """A wave's description names no schools or no share between 1% and 100%; `wave` is it."""

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
