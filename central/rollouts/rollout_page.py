"""What the page of a rollout shows, in the reader's words: once as the page is drawn, then again as JSON.

The two are the same plain values, so that the script on the page only puts new texts where old ones are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext

from central.bars import bar_segments
from central.rollouts.models import Assignment, AssignmentStatus, PauseReason, Rollout, RolloutStatus, Wave, WaveStatus
from central.rollouts.progress import RolloutProgress, WaveProgress
from central.rollouts.standing import STANDINGS
from central.rollouts.steps import DANGEROUS, WORDS, StepName
from central.rollouts.words import moment_words, quality_words, size_words, target_words, verdict_words, why_words

TONES: Mapping[str, str] = {
    RolloutStatus.RUNNING: "info",
    RolloutStatus.COMPLETED: "success",
    RolloutStatus.PAUSED: "warning",
    RolloutStatus.PENDING_APPROVAL: "warning",
    RolloutStatus.ROLLING_BACK: "danger",
    WaveStatus.OPEN: "info",
    WaveStatus.SOAKING: "info",
    WaveStatus.PASSED: "success",
    WaveStatus.INCONCLUSIVE: "warning",
    WaveStatus.FAILED: "danger",
}
PREVIEWABLE = (RolloutStatus.DRAFT, RolloutStatus.PENDING_APPROVAL, RolloutStatus.SCHEDULED, RolloutStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchoolRow:
    """One PC in the rollout, and why it is where it is."""

    school: str
    school_pk: int
    region: str
    wave: str
    status: str
    tone: str
    why: str
    reported_at: datetime | None


def page_plain(
    rollout: Rollout, progress: RolloutProgress, steps: Sequence[tuple[StepName, Wave | None]], *, now: datetime
) -> dict[str, Any]:
    """Return what moves on the page while somebody looks at it; all of it can be sent as JSON."""
    return {
        "status": str(rollout.status),
        "status_words": rollout.get_status_display(),
        "tone": TONES.get(rollout.status, ""),
        "sentence": _sentence(rollout),
        "budget": gettext("failed: %(failed)s of the %(allowed)s that may")
        % {"failed": progress.failed, "allowed": progress.allowed},
        "is_over": rollout.is_final,
        "steps": [_step(rollout, name, wave) for name, wave in steps],
        "waves": [_wave(each, now) for each in progress.waves],
        "read_at": moment_words(now),
    }


def _sentence(rollout: Rollout) -> str:
    """Return what the rollout waits for, or why it stopped."""
    status = RolloutStatus(rollout.status)
    if status is RolloutStatus.PAUSED:
        reason = PauseReason(rollout.pause_reason).label
        return gettext("Paused: %(reason)s. Nobody new is offered the release.") % {"reason": reason}
    if status is RolloutStatus.SCHEDULED and rollout.starts_at:
        return gettext("It starts at %(time)s.") % {"time": moment_words(rollout.starts_at)}
    said = {
        RolloutStatus.DRAFT: gettext("Only a plan: no school gets anything before somebody else has approved it."),
        RolloutStatus.PENDING_APPROVAL: gettext("A colleague of %(creator)s has to look at it.")
        % {"creator": rollout.created_by},
        RolloutStatus.SCHEDULED: gettext("It starts within seconds."),
        RolloutStatus.RUNNING: gettext("It goes on by itself, wave by wave."),
        RolloutStatus.ROLLING_BACK: gettext("Schools return to what they ran before, each at its next contact."),
    }
    return said.get(status, "")


def _step(rollout: Rollout, name: StepName, wave: Wave | None) -> dict[str, str]:
    place = reverse("admin:rollouts_rollout_step", args=[rollout.pk, name.value])
    label = gettext(WORDS[name].label)
    return {
        "label": f"{label}: {wave}" if wave else label,
        "place": f"{place}?{urlencode({'wave': wave.pk})}" if wave else place,
        "tone": "danger" if name in DANGEROUS else "",
    }


def _wave(progress: WaveProgress, now: datetime) -> dict[str, Any]:
    wave = progress.wave
    return {
        "pk": wave.pk,
        "title": str(wave),
        "size": size_words(wave),
        "status_words": wave.get_status_display(),
        "tone": TONES.get(wave.status, ""),
        "verdict": verdict_words(wave, progress.counts, now=now),
        "ratings": quality_words(wave.quality) if wave.quality else "",
        "total": progress.total,
        "share": gettext("%(percent)s%% of its PCs run the release")
        % {"percent": number_format(100 * progress.numbers["committed"] / (progress.total or 1), decimal_pos=0)},
        "parts": _bar(progress),
    }


def _bar(progress: WaveProgress) -> list[dict[str, Any]]:
    """Return each part with where it begins on the bar and how wide it is."""
    segments = bar_segments(list(progress.numbers.values()), whole=progress.total)
    return [
        {"name": name, "words": str(STANDINGS[name][0]), "number": number, "x": segment.start, "width": segment.width}
        for (name, number), segment in zip(progress.numbers.items(), segments, strict=True)
    ]


def facts(rollout: Rollout) -> list[tuple[str, str]]:
    """Return the plan in words: each fact with its name."""
    window = (
        gettext("from %(opens)s to %(closes)s by the school's own clock")
        % {"opens": f"{rollout.window_opens_at:%H:%M}", "closes": f"{rollout.window_closes_at:%H:%M}"}
        if rollout.window_opens_at and rollout.window_closes_at
        else gettext("at the school's own hours")
    )
    quality = gettext("good ratings may fall by %(points)s points, once %(ratings)s ratings are there")
    told = (
        (gettext("release"), str(rollout.release)),
        (gettext("kind"), rollout.get_kind_display()),
        (gettext("for"), target_words(rollout.target())),
        (gettext("schools change over"), gettext("at once (forced)") if rollout.is_forced else window),
        (gettext("only fetched until"), moment_words(rollout.activates_at) if rollout.activates_at else ""),
        (
            gettext("ratings"),
            quality
            % {
                "points": number_format(100 * rollout.quality_margin, decimal_pos=0),
                "ratings": rollout.quality_min_ratings,
            },
        ),
        (gettext("made by"), f"{rollout.created_by}, {moment_words(rollout.created_at)}"),
        (gettext("approved by"), rollout.approved_by),
        (gettext("not before"), moment_words(rollout.starts_at) if rollout.starts_at else ""),
        (gettext("started"), moment_words(rollout.started_at) if rollout.started_at else ""),
        (gettext("ended"), moment_words(rollout.ended_at) if rollout.ended_at else ""),
    )
    return [(name, words) for name, words in told if words]


def rows_chosen(rows: QuerySet[Assignment], *, wave: str, status: str, search: str) -> QuerySet[Assignment]:
    """Return the parts of PCs of one wave, in one status, whose school's name holds `search`; empty asks for all."""
    if wave.isdecimal():
        rows = rows.filter(wave=int(wave))
    if status in AssignmentStatus.values:
        rows = rows.filter(status=status)
    if search:
        rows = rows.filter(node__school__name__icontains=search)
    return rows.select_related("node__school", "wave").order_by("wave__number", "node__school__name", "pk")


def school_row(assignment: Assignment, *, rollout: Rollout, now: datetime) -> SchoolRow:
    """Return one row of the page's list of schools; node, school and wave must be at hand."""
    tones = {AssignmentStatus.COMMITTED: "success", AssignmentStatus.REVERTED: "danger"}
    return SchoolRow(
        school=assignment.node.school.name,
        school_pk=assignment.node.school_id,
        region=assignment.node.school.region,
        wave=str(assignment.wave),
        status=assignment.get_status_display(),
        tone=tones.get(AssignmentStatus(assignment.status), "danger" if assignment.error_code else ""),
        why=why_words(assignment, rollout=rollout, now=now),
        reported_at=assignment.reported_at,
    )
