"""How the demo fails: one sentence on what failed, and where its log is."""

from __future__ import annotations

from federation.errors import CapacityError


class StepFailed(CapacityError):
    """`step` of the demo ended because of `reason`; `log` names the file that says more."""

    code = "demo_step_failed"


class CheckMissed(CapacityError):
    """The journey was walked to its end, but `missed` of what it must show did not hold."""

    code = "demo_check_missed"
