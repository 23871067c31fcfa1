"""What the page of a preview shows: how large each wave is, and the schools of one of them or of those left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.translation import gettext

from central.rollouts.preview import PlannedNode, Preview, SkippedSchool, SkipReason
from central.rollouts.words import SKIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPart:
    """A wave, or the schools that are left out for one reason; `key` is its name in the page's address."""

    key: str
    title: str
    count: int
    size: str
    days: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewRow:
    """One school of a part."""

    school: str
    region: str
    size: str
    days: str
    note: str


def preview_parts(preview: Preview) -> tuple[list[PreviewPart], list[PreviewPart]]:
    """Return the waves, and the reasons for which schools are left out, each with how many it has."""
    waves = [
        PreviewPart(
            key=f"wave-{wave.number}",
            title=f"{wave.number}. {wave.name}",
            count=len(wave.nodes),
            size=filesizeformat(wave.size_bytes),
            days=_days_words(wave.days_median, wave.days_most) if wave.nodes else "–",
        )
        for wave in preview.waves
    ]
    counted = Counter(each.reason for each in preview.skipped)
    reasons = [
        PreviewPart(key=reason.value, title=gettext(SKIPPED[reason.value]), count=counted[reason], size="", days="")
        for reason in SkipReason
        if counted[reason]
    ]
    return waves, reasons


def _days_words(median: float, most: float) -> str:
    words = gettext("half of them in %(median)s days, nine in ten in %(most)s")
    return words % {"median": number_format(median, decimal_pos=0), "most": number_format(most, decimal_pos=0)}


def preview_rows(preview: Preview, *, key: str, region: str, search: str) -> list[PreviewRow]:
    """Return the schools of the part `key`, by name, of one region and with `search` in the name."""
    wanted = search.casefold()
    rows = [_planned(node) for wave in preview.waves if key == f"wave-{wave.number}" for node in wave.nodes]
    rows += [_skipped(school) for school in preview.skipped if school.reason.value == key]
    chosen = [row for row in rows if (not region or row.region == region) and wanted in row.school.casefold()]
    return sorted(chosen, key=lambda row: row.school)


def preview_regions(preview: Preview) -> list[str]:
    """Return the regions that schools of the preview are in."""
    nodes = {node.region for wave in preview.waves for node in wave.nodes}
    return sorted((nodes | {school.region for school in preview.skipped}) - {""})


def _planned(node: PlannedNode) -> PreviewRow:
    return PreviewRow(
        school=node.school,
        region=node.region,
        size=filesizeformat(node.size_bytes) if node.size_bytes else gettext("has it already"),
        days=number_format(node.days, decimal_pos=0),
        note=gettext("silent for longer than it ever is") if node.is_silent else "",
    )


def _skipped(school: SkippedSchool) -> PreviewRow:
    return PreviewRow(
        school=school.school, region=school.region, size="", days="", note=gettext(SKIPPED[school.reason.value])
    )
