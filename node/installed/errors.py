"""Why the node cannot go on with a release."""

from __future__ import annotations

from federation.errors import CapacityError, TransportError, TrustError


class IllegalStep(TransportError):
    """The step `event` is not possible in the phase `phase`; another process has moved on."""

    code = "illegal_step"


class StateUnreadable(CapacityError):
    """`state.json` cannot be read: the disk is failing or a person has edited it."""

    code = "state_unreadable"


class BaseMissing(TransportError):
    """An adapter's base release `base` is not on this disk and was not offered with it."""

    code = "base_missing"


class MemoryTooSmall(CapacityError):
    """The release needs `needed_bytes` of memory, and an engine could have `available_bytes` here."""

    code = "memory_too_small"


class GpuTooSmall(CapacityError):
    """The release's variant needs a GPU with `needed_bytes` of memory; the engine could use `available_bytes` here."""

    code = "gpu_too_small"


class SelfTestTimeout(TrustError):
    """The child process that tested the release did not end in time."""

    code = "self_test_timeout"


class SelfTestCrashed(TrustError):
    """The child process that tested the release died, or said nothing that can be read."""

    code = "self_test_crashed"


class SelfTestInterrupted(TrustError):
    """The PC went down during each of the release's self-tests."""

    code = "self_test_interrupted"


class TrialCrashLoop(TrustError):
    """The release on trial did not answer after any of its loads."""

    code = "trial_crash_loop"


class ReleaseWithdrawn(TrustError):
    """The centre has withdrawn the release that runs here; it answers until another has come."""

    code = "release_withdrawn"
