"""What the learning on this PC is doing, in one sentence of the reader's language."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from node.rounds.eligibility import Hindrance
from node.rounds.learning_status import LearningPhase, LearningStatus

PHASES: Mapping[LearningPhase, str | Promise] = {
    LearningPhase.CANNOT: gettext_lazy(
        "This PC does not learn: its program came without learning. An installation stick from the ministry brings it."
    ),
    LearningPhase.RUNNING: gettext_lazy("This PC is learning now."),
    LearningPhase.MAKES_WAY: gettext_lazy("Learning stands still while a question is answered."),
    LearningPhase.NO_PLAN: gettext_lazy("The centre asks for nothing new to be learnt on the model that runs here."),
    LearningPhase.FEW_LABELS: gettext_lazy("Too few ratings to learn from yet: %(labels)s of %(min_labels)s."),
    LearningPhase.DONE: gettext_lazy("What the centre asked for is learnt."),
    LearningPhase.FAILED: gettext_lazy("Learning failed; whoever looks after this PC finds why in logs/train.log."),
    LearningPhase.DUE: gettext_lazy("Learning begins within the hour."),
}
HINDRANCES: Mapping[Hindrance, str | Promise] = {
    Hindrance.STOPPED: gettext_lazy("Somebody at the school has stopped the learning."),
    Hindrance.CHAT: gettext_lazy("Learning waits until nobody asks."),
    Hindrance.HOURS: gettext_lazy("Learning waits for its hours."),
    Hindrance.BATTERY: gettext_lazy("Learning waits for mains power."),
    Hindrance.BUSY: gettext_lazy("Learning waits until this PC has less to do."),
    Hindrance.MEMORY: gettext_lazy("Learning waits: too little memory is free. Close other programs."),
    Hindrance.DISK: gettext_lazy("Learning waits: the disk is nearly full. Make room."),
}


def learning_sentence(status: LearningStatus) -> str:
    """Return what the learning is doing, and why not, in the language in force."""
    if status.phase is LearningPhase.STOPPED:
        return _stopped(status)
    if status.phase is LearningPhase.WAITS:
        return str(HINDRANCES[Hindrance(status.hindrance)])
    return str(PHASES[status.phase]) % {"labels": status.labels, "min_labels": status.min_labels}


def _stopped(status: LearningStatus) -> str:
    kept = status.settings
    if not kept.stop_reason:
        return _("Learning was stopped by %(person)s.") % {"person": kept.stopped_by}
    return _("Learning was stopped by %(person)s: %(reason)s") % {"person": kept.stopped_by, "reason": kept.stop_reason}
