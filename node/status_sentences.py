"""The status of the PC in sentences of the reader's language: what to do next, and why nothing newer runs."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from federation.wire.programs import ProgramReport
from node.arrival import Arrival, Newer
from node.next_step import NextStep
from node.sentences import code_sentence
from node.status import NodeStatus

STEPS: Mapping[NextStep, str | Promise] = {
    NextStep.ALL_WELL: gettext_lazy("All is well. There is nothing to do."),
    NextStep.DISK: gettext_lazy(
        "The disk is nearly full: remove files that nobody needs, or conversations stop being kept."
    ),
    NextStep.LOOK_AFTER_RESTORE: gettext_lazy(
        "A backup was put back. Look whether conversations, classes and ratings are as they should be, then say so on "
        "the page “Backup”."
    ),
    NextStep.ENROL_AWAIT: gettext_lazy(
        "This PC has asked for its school. It enrols by itself with the next link or with the courier's next stick."
    ),
    NextStep.ENROL_AWAIT_STICK: gettext_lazy(
        "This PC has asked for its school. The answer comes with the courier's next stick: bring it in then."
    ),
    NextStep.ENROL_ANEW: gettext_lazy(
        "The centre did not take the sheet that was given here: get a new one from the ministry, and enrol with it."
    ),
    NextStep.ENROL: gettext_lazy("This PC belongs to no school yet: enrol it with the ministry's sheet."),
    NextStep.MODEL_BRING: gettext_lazy(
        "No model is installed yet: let this PC have internet for a while, or bring a stick from the ministry in."
    ),
    NextStep.ENGINE_LOOK: gettext_lazy(
        "The engine does not answer. It starts again by itself; if this stands here for ten minutes, restart the PC."
    ),
    NextStep.CLOCK_SET: gettext_lazy("This PC's clock is wrong: set the date and the time."),
    NextStep.MINISTRY_TELL: gettext_lazy(
        "Tell the ministry what stands under “Newest release”. Pupils are answered all the same."
    ),
    NextStep.CENTRE_REACH: gettext_lazy(
        "The centre has not been heard for long: look whether the internet works here, or ask the ministry for a stick."
    ),
    NextStep.MEMORY_FREE: gettext_lazy("Memory is short: close other programs on this PC."),
    NextStep.BACKUP_MAKE: gettext_lazy("Make a backup of the school's data and keep it away from this PC."),
}
ARRIVALS: Mapping[Arrival, str | Promise] = {
    Arrival.UNHEARD: gettext_lazy("The centre has not said yet what should run here."),
    Arrival.NEWEST: gettext_lazy("The newest release for this school runs here."),
    Arrival.WINDOW: gettext_lazy("A newer release waits for the school's hours, from %(opens)s to %(closes)s."),
    Arrival.COMING: gettext_lazy("A newer release is on its way: %(megabytes)s MB have come."),
    Arrival.DATE: gettext_lazy("A newer release is here and begins on %(date)s, as the ministry wishes."),
    Arrival.HOURS: gettext_lazy(
        "A newer release is here and waits for the ministry's hours, from %(opens)s to %(closes)s."
    ),
    Arrival.STAGED: gettext_lazy("A newer release is here and is tested next."),
    Arrival.TESTING: gettext_lazy("A newer release is being tested."),
    Arrival.TRIAL: gettext_lazy("A newer release is being tried; it stays once it has answered."),
}
HELD: Mapping[str, str | Promise] = {
    "no_rollout": gettext_lazy("The ministry has not sent this school anything newer yet."),
    "not_in_a_wave": gettext_lazy("What the ministry sends out now is not for this school."),
    "wave_not_open": gettext_lazy("A newer release reaches other schools first; this school's turn comes."),
    "rollout_paused": gettext_lazy("The ministry has paused the newer release."),
    "release_revoked": gettext_lazy("The ministry has withdrawn the newer release."),
    "rolling_back": gettext_lazy("The ministry takes the newer release back."),
    "reverted_here": gettext_lazy("The newer release failed on this PC, which went back to the one before."),
    "verify_failed_here": gettext_lazy("The newer release arrived damaged and was refused here."),
    "skipped_here": gettext_lazy("The newer release does not suit this PC."),
}
REFUSALS: Mapping[str, str | Promise] = {
    "disk_full": gettext_lazy("the disk has too little room for it. It comes once there is room."),
    "self_test_timeout": gettext_lazy("this PC took too long to test it."),
    "self_test_interrupted": gettext_lazy("the power went during each of its tests."),
    "trial_crash_loop": gettext_lazy("it did not answer after three starts."),
    "trial_silent": gettext_lazy("it answered nothing when it was tried."),
}
"""Of a release that this PC could not take; other codes have sentences of their own, or are told as they are."""
PROGRAM_FAILURES: Mapping[str, str | Promise] = {
    "program_page_silent": gettext_lazy("its page did not answer."),
    "program_engine_silent": gettext_lazy("its engine did not load the model in time."),
    "program_migration_failed": gettext_lazy("it could not take over the school's data; they are untouched."),
    "program_crash_loop": gettext_lazy("the PC went down each time that it was tried."),
    "program_not_laid": gettext_lazy("it could not be laid on the disk."),
    "program_damaged": gettext_lazy("its files were not what the ministry had signed."),
}
"""Of a program that this PC gave up; other codes are told as they are."""
_BYTES_IN_MB = 1_000_000


def step_sentence(status: NodeStatus) -> str:
    """Return what to do next, or that all is well."""
    if status.next_step is NextStep.MINISTRY_TELL and status.is_withdrawn:
        return code_sentence("release_withdrawn")
    return str(STEPS[status.next_step])


def newer_sentence(newer: Newer) -> str:
    """Return why nothing newer runs here."""
    if newer.arrival is Arrival.HELD:
        return str(HELD.get(newer.reason, _("The ministry has a reason: %(code)s.") % {"code": newer.reason}))
    if newer.arrival is Arrival.REFUSED:
        return _("A newer release is not in use here: %(why)s") % {"why": _refusal(newer.reason)}
    return str(ARRIVALS[newer.arrival]) % {
        "opens": newer.opens,
        "closes": newer.closes,
        "megabytes": newer.bytes_fetched // _BYTES_IN_MB,
        "date": timezone.localtime(newer.activates_at).strftime("%d.%m.%Y %H:%M") if newer.activates_at else "",
    }


def program_sentence(program: ProgramReport) -> str:
    """Return what became of the newer program that was given up here; empty where none was."""
    if program.failed:
        why = str(PROGRAM_FAILURES.get(program.code, program.code))
        return _("Version %(version)s was tried here and taken back: %(why)s") % {"version": program.failed, "why": why}
    if program.code:
        return _("How its update stands cannot be read (%(code)s); tell the ministry.") % {"code": program.code}
    return ""


def _refusal(code: str) -> str:
    if code in REFUSALS:
        return str(REFUSALS[code])
    words = code_sentence(code)
    return words if words != code else _("it did not pass its test (%(code)s).") % {"code": code}


def clock_sentence(off_seconds: float) -> str:
    """Return how far the clock is off, in minutes."""
    minutes = round(abs(off_seconds) / 60)
    if off_seconds > 0:
        return _("ahead by %(minutes)d min") % {"minutes": minutes}
    return _("behind by %(minutes)d min") % {"minutes": minutes}
