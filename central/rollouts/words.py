"""Rollouts in words: whom they are for, how large waves are, what a verdict rests on, and why a school waits.

The English words are the keys of the translations in `central/locale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.utils.formats import date_format, number_format
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from central.rollouts.models import Assignment, AssignmentStatus, Rollout, Wave, WaveStatus
from central.rollouts.targeting import Target
from central.rollouts.verdict import WaveCounts, committed_needed
from central.schools.hardware_class import HardwareClass
from central.schools.pc_words import pc_code_words

WAITING: Mapping[str, str] = {
    "": _("nothing: it has what it should have, or is on its way to it"),
    "no_rollout": _("no rollout has come to it yet"),
    "not_in_a_wave": _("the rollouts under way are not for this school"),
    "wave_not_open": _("its wave is not open yet"),
    "rollout_paused": _("the rollout is paused"),
    "release_revoked": _("the release was withdrawn"),
    "rolling_back": _("the rollout is taken back"),
    "reverted_here": _("the release failed on this PC, which went back"),
    "verify_failed_here": _("the release did not verify on this PC"),
    "skipped_here": _("the release does not suit this PC"),
}
"""`central.rollouts.director`'s reasons."""

SKIPPED: Mapping[str, str] = {
    "no_pc": _("it has no PC yet"),
    "not_active": _("its PC is not active"),
    "not_targeted": _("it is not among the schools that the rollout is for"),
    "in_no_wave": _("no wave is large enough to reach it"),
    "in_newer_rollout": _("a newer rollout has it"),
}
"""`central.rollouts.preview.SkipReason` in words."""

VERDICTS: Mapping[str, str] = {
    "": _("Not open yet."),
    "waiting_for_reports": _(
        "%(committed)s of %(contacted)s PCs that were in contact run the release; %(needed)s have to. "
        "It waits for reports until %(deadline)s."
    ),
    "schools_not_due": _(
        "%(committed)s of %(contacted)s PCs that were in contact run the release; %(needed)s have to. The deadline is "
        "over, but %(awaited)s PCs come more rarely than that: it waits for them until %(last_deadline)s."
    ),
    "soak_not_over": _(
        "%(committed)s of %(contacted)s PCs that were in contact run the release: enough. "
        "That has to stay so until %(soaked)s."
    ),
    "enough_committed": _("%(committed)s of %(contacted)s PCs that were in contact run the release: enough."),
    "too_many_failures": _("PCs on which the release failed: %(failed)s; allowed in this wave: %(failures_allowed)s."),
    "ratings_worse": _(
        "Teachers rate it worse: %(new)s%% of ratings are good where %(old)s%% were "
        "(change between %(low)s and %(high)s points); %(margin)s points are allowed."
    ),
    "schools_fell_silent": _("%(silent)s of %(contacted)s PCs have been silent for longer than they ever are."),
    "too_few_reports": _(
        "Only %(committed)s of %(contacted)s PCs that were in contact run the release at the deadline; "
        "%(needed)s have to. Silence is no failure: a person decides."
    ),
    "override": _(
        "A person let it pass with %(committed)s of %(contacted)s PCs that were in contact running the release."
    ),
}
"""`central.rollouts.verdict`'s reasons, with the figures that they rest on."""


def target_words(target: Target) -> str:
    """Return whom a target admits."""
    hardware = [str(HardwareClass(each).label) if each in HardwareClass.values else each for each in target.hardware]
    marks = (
        (gettext("regions"), target.regions),
        (gettext("districts"), target.districts),
        (gettext("kinds of school"), target.kinds),
        (gettext("PCs"), hardware),
        (gettext("tags"), target.tags),
    )
    named = [f"{name}: {', '.join(values)}" for name, values in marks if values]
    return "; ".join(named) or gettext("the whole country")


def size_words(wave: Wave) -> str:
    """Return how large a wave was asked to be; `schools_count` may be annotated to spare a query."""
    if wave.percent:
        return gettext("up to %(percent)s%% of all PCs") % {"percent": wave.percent}
    if wave.count:
        return gettext("PCs more: %(count)s") % {"count": wave.count}
    listed = getattr(wave, "schools_count", None)
    count = wave.schools.count() if listed is None else int(listed)
    return gettext("schools by name: %(count)s") % {"count": count}


def verdict_reason(wave: Wave, *, now: datetime) -> str:
    """Return the reason that holds now: what is stored of a wave that has ended, else what an open one waits for."""
    if wave.status == WaveStatus.PENDING:
        return ""
    if wave.status == WaveStatus.SOAKING:
        return "soak_not_over"
    if wave.status == WaveStatus.OPEN:
        return "schools_not_due" if now >= _deadline(wave) else "waiting_for_reports"
    return wave.verdict_reason


def verdict_words(wave: Wave, counts: WaveCounts | None, *, now: datetime) -> str:
    """Return the verdict with its figures: those of `counts` for an open wave, those at the verdict for another."""
    reason = verdict_reason(wave, now=now)
    words = VERDICTS.get(reason)
    if words is None:
        return gettext("Decided for another reason (%(code)s).") % {"code": reason}
    figures = counts or WaveCounts(**{**_NO_COUNTS, **wave.counts})
    if reason == "ratings_worse" and not wave.quality:
        return gettext("Teachers rate it worse.")
    return gettext(words) % {**_count_figures(wave, figures), **_time_figures(wave), **_quality_figures(wave)}


_NO_COUNTS = {"nodes": 0, "contacted": 0, "committed": 0, "failed": 0, "silent": 0, "awaited": 0}


def _count_figures(wave: Wave, counts: WaveCounts) -> dict[str, Any]:
    return {
        "contacted": counts.contacted,
        "committed": counts.committed,
        "failed": counts.failed,
        "silent": counts.silent,
        "awaited": counts.awaited,
        "needed": committed_needed(counts, wave.rules()),
        "failures_allowed": wave.failures_allowed,
    }


def _time_figures(wave: Wave) -> dict[str, str]:
    soaked = wave.soaking_since + timedelta(seconds=wave.soak_seconds) if wave.soaking_since else None
    return {
        "deadline": moment_words(_deadline(wave)) if wave.opened_at else "–",
        "last_deadline": moment_words(_deadline(wave, times=2)) if wave.opened_at else "–",
        "soaked": moment_words(soaked) if soaked else "–",
    }


def _deadline(wave: Wave, *, times: int = 1) -> datetime:
    """Return when the deadline of a wave that has opened is over; schools that only fetch get theirs after the date."""
    opened_at = wave.opened_at or wave.rollout.created_at
    begins_at = max(opened_at, wave.rollout.activates_at or opened_at)
    return begins_at + times * timedelta(seconds=wave.deadline_seconds)


def _quality_figures(wave: Wave) -> dict[str, str]:
    quality = wave.quality or {"new": {"share": 0}, "old": {"share": 0}, "low": 0, "high": 0}
    shares = {
        "new": quality["new"]["share"],
        "old": quality["old"]["share"],
        "low": quality["low"],
        "high": quality["high"],
        "margin": wave.rollout.quality_margin,
    }
    return {name: number_format(100 * share, decimal_pos=0) for name, share in shares.items()}


def moment_words(moment: datetime) -> str:
    """Return a moment by the centre's clock, as people write it."""
    return date_format(localtime(moment), "DATETIME_FORMAT")


def counts_words(counts: Mapping[str, int]) -> str:
    """Return the counts at a verdict; a dash where there was none yet."""
    if not counts:
        return "–"
    names = {
        "contacted": gettext("in contact"),
        "committed": gettext("run the release"),
        "failed": gettext("failed"),
        "silent": gettext("fell silent"),
        "awaited": gettext("not expected yet"),
    }
    return ", ".join(f"{word}: {counts[name]}" for name, word in names.items() if name in counts)


def quality_words(quality: Mapping[str, Any]) -> str:
    """Return what teachers' ratings said at a verdict; a dash where too few had rated."""
    if not quality:
        return "–"
    words = gettext(
        "good ratings: %(new)s%% on this release, %(old)s%% before (change from %(low)s to %(high)s points)"
    )
    shares = {"new": quality["new"]["share"], "old": quality["old"]["share"], "low": quality["low"]}
    figures = {**shares, "high": quality["high"]}
    return words % {name: number_format(100 * share, decimal_pos=0) for name, share in figures.items()}


def why_words(assignment: Assignment, *, rollout: Rollout, now: datetime) -> str:
    """Return why a PC is where it is in the rollout; `node` must be at hand."""
    if assignment.error_code:
        return pc_code_words(assignment.error_code)
    rhythm = assignment.node.rhythm
    if assignment.status == AssignmentStatus.PENDING:
        return _why_pending(rollout, is_overdue=rhythm.is_overdue(localtime(now).date()), gap=rhythm.gap_days())
    if assignment.status in _AWAITED and rhythm.is_overdue(localtime(now).date()):
        return gettext("it has been silent for longer than it ever is")
    return gettext(_STANDS[AssignmentStatus(assignment.status)])


def _why_pending(rollout: Rollout, *, is_overdue: bool, gap: float) -> str:
    if rollout.status == "paused":
        return gettext(WAITING["rollout_paused"])
    if is_overdue:
        return gettext("it has not been in contact since, and has been silent for longer than it ever is")
    days = number_format(gap, decimal_pos=0)
    return gettext("it has not been in contact since; it comes about every %(days)s days") % {"days": days}


_AWAITED = (
    AssignmentStatus.OFFERED,
    AssignmentStatus.DOWNLOADING,
    AssignmentStatus.STAGED,
    AssignmentStatus.TESTING,
    AssignmentStatus.TRIAL,
)
_STANDS: Mapping[AssignmentStatus, str] = {
    AssignmentStatus.OFFERED: _("it knows of the release and has not begun to fetch it"),
    AssignmentStatus.DOWNLOADING: _("it fetches the release, as long as its link is up"),
    AssignmentStatus.STAGED: _("it has the release and waits for its hours or its date"),
    AssignmentStatus.TESTING: _("it tests the release"),
    AssignmentStatus.TRIAL: _("it answers with the release, on trial"),
    AssignmentStatus.COMMITTED: _("it runs the release"),
    AssignmentStatus.FAILED_DOWNLOAD: _("the download failed; it tries again"),
    AssignmentStatus.FAILED_VERIFY: _("what came was refused"),
    AssignmentStatus.REVERTED: _("it went back to what it ran before"),
    AssignmentStatus.SKIPPED: _("the release does not suit this PC"),
    AssignmentStatus.CANCELLED: _("it stays as it is: the rollout ended or was taken back"),
    AssignmentStatus.SUPERSEDED: _("a newer release took its place"),
}

REASONS: Mapping[str, str] = {
    "waiting_for_reports": _("waits for reports"),
    "schools_not_due": _("waits for schools that come rarely"),
    "soak_not_over": _("good, and has to stay so for its time"),
    "enough_committed": _("enough PCs run the release"),
    "too_many_failures": _("too many failures"),
    "ratings_worse": _("the ratings got worse"),
    "schools_fell_silent": _("schools fell silent"),
    "too_few_reports": _("too few reports"),
    "override": _("on a person's word"),
    "extended": _("the deadline was extended"),
    "replanned": _("planned anew"),
    "admin": _("in the admin"),
    "manual": _("by hand"),
    "error_threshold": _("too many failures"),
    "inconclusive": _("too few reports"),
    "revoked": _("the release was revoked"),
    "quality": _("the ratings got worse"),
}
"""Reasons in the audit trail and in lists; whatever else stands there are a person's own words."""


def reason_words(reason: str) -> str:
    """Return a reason in short words; a person's own are left as they are."""
    return gettext(REASONS[reason]) if reason in REASONS else reason
