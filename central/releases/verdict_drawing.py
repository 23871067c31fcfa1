"""The gate's stored report as the admin draws it: rows of words and whole numbers, in the reader's language.

Reads the plain values of `Release.gate_report`, in which a report from before the suite lacks parts: what is missing is
not drawn. Bars are whole pixels, for a fraction would be written with a comma in Tajik and Russian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from central.releases.models import Release

BAR_PIXELS = 120
SMALLEST_PROBABILITY = 0.001
ABSENT = "–"
REASONS: Mapping[str, str] = {
    "perplexity": _("The texts became less likely than allowed"),
    "perplexity_missing": _("A language was not measured"),
    "divergence": _("It expects other words than the model that it was made from"),
    "unrelated_loss": _("Answers that nobody corrected became less likely"),
    "corrections_gain": _("The corrections did not become likelier"),
    "region_worse": _("The corrections of a region became less likely than before"),
    "suite_missing": _("The question suite was not asked"),
    "suite_worse": _("Significantly worse than the release that it would replace"),
    "safety": _("An answer to the safety list is not allowed"),
}
FIGURES: Mapping[str, str] = {
    "divergence": _("divergence from the model that it was made from, nats a token"),
    "vocabulary_increase": _("largest rise of perplexity by the smaller vocabulary, as a share"),
    "unrelated_loss": _("loss of answers that nobody corrected, nats a token"),
    "unrelated_count": _("answers that nobody corrected"),
    "corrections_gain": _("gain of the corrections, nats a token"),
    "corrections_count": _("corrections"),
    "corrections_step": _("gain of the corrections since the adapter before, nats a token"),
}
PROBLEMS: Mapping[str, str] = {
    "nothing_to_replace": _("This is the first release: there is nothing to compare it with."),
    "no_stored_outcomes": _("The release that it would replace was judged without the question suite."),
    "suites_differ": _("The release that it would replace answered other questions."),
}
GROUPS: Mapping[str, str] = {
    "region": _("Corrections by region, mean nats a token"),
    "subject": _("Corrections by subject, mean nats a token"),
}
FINDINGS: Mapping[str, str] = {
    "forbidden": _("says a forbidden phrase"),
    "repeats": _("repeats itself without end"),
    "control_token": _("shows a control token"),
    "empty": _("is empty"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonLine:
    """A reason against the release in words, and its figures."""

    words: str
    figures: str

    def __str__(self) -> str:
        return f"{self.words}: {self.figures}" if self.figures else self.words


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityRow:
    """A language's perplexity and its relative change."""

    language: str
    reference: str
    shipped: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """A subject's questions; pixels are of a bar BAR_PIXELS long, `before_pixels` where nothing was compared None."""

    subject: str
    right: int
    count: int
    right_pixels: int
    before_pixels: int | None = None
    lost: str = ABSENT
    gained: str = ABSENT
    p_worse: str = ABSENT
    visible: str = ABSENT
    visible_with_power: str = ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """How likely the corrections of a region or subject are: in the base, in the adapter before, and in this one."""

    name: str
    count: int
    base: str
    last: str
    candidate: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """What an answer to a safety prompt did, and whether the replaced release did not."""

    prompt: str
    words: str
    phrase: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictDrawing:
    """All that the page shows of the verdict on one package; `variant` names one of several."""

    variant: str
    is_judged: bool
    reasons: list[ReasonLine]
    perplexity: list[PerplexityRow]
    figures: list[tuple[str, str]]
    groups: list[tuple[str, list[GroupRow]]]
    """A title and its rows: the corrections by region, and by subject."""
    subjects: list[SubjectRow]
    problem: str
    replaced: str
    safety_prompts: int
    findings: list[FindingRow]
    suites: list[tuple[str, str]]
    bar_pixels: int = BAR_PIXELS


def verdicts_draw(report: Mapping[str, Any]) -> list[VerdictDrawing]:
    """Return the drawings of a stored gate report, one a package, in the language in force."""
    return [_verdict_draw(each) for each in _packages(report)]


def gate_reasons(report: Mapping[str, Any]) -> tuple[ReasonLine, ...]:
    """Return what a stored gate report has against any of its packages, in the language in force."""
    return tuple(reason for each in _packages(report) for reason in _reasons(each))


def reasons_said(release: Release) -> tuple[ReasonLine, ...]:
    """Return what speaks against `release`, in the language in force: the gate's reasons, or else a person's own."""
    return gate_reasons(release.gate_report) or ((ReasonLine(words=release.why, figures=""),) if release.why else ())


def _packages(report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    packages: Sequence[Mapping[str, Any]] = report.get("variants", [report])
    return packages


def _verdict_draw(report: Mapping[str, Any]) -> VerdictDrawing:
    suite, comparison = report.get("suite", {}), report.get("comparison", {})
    problem = comparison.get("problem", "")
    return VerdictDrawing(
        variant=report.get("variant", ""),
        is_judged="reasons" in report,
        reasons=_reasons(report),
        perplexity=[_perplexity(language, pair) for language, pair in sorted(report.get("perplexity", {}).items())],
        figures=[
            (gettext(FIGURES.get(name, name)), f"{value:.3f}" if isinstance(value, float) else str(value))
            for name, value in report.items()
            if isinstance(value, float | int)
        ],
        groups=[(gettext(title), _groups(report, kind)) for kind, title in GROUPS.items()],
        subjects=_subjects(comparison),
        problem=gettext(PROBLEMS[problem]) if problem in PROBLEMS else problem,
        replaced=(comparison.get("replaced") or "")[:12],
        safety_prompts=suite.get("prompts", 0),
        findings=[_finding(each, comparison) for each in suite.get("findings", [])],
        suites=[(name, sha256[:12]) for name, sha256 in suite.get("suites", {}).items()],
    )


def _reasons(report: Mapping[str, Any]) -> list[ReasonLine]:
    return [_reason(reason) for reason in report.get("reasons", [])]


def _reason(reason: str) -> ReasonLine:
    code, _colon, figures = reason.partition(": ")
    return ReasonLine(words=gettext(REASONS.get(code, code)), figures=figures)


def _perplexity(language: str, pair: Mapping[str, float | None]) -> PerplexityRow:
    reference, shipped = pair["reference"], pair["shipped"]
    return PerplexityRow(
        language=language,
        reference=_number(reference),
        shipped=_number(shipped),
        change=f"{shipped / reference - 1:+.1%}" if reference and shipped is not None else ABSENT,
    )


def _groups(report: Mapping[str, Any], kind: str) -> list[GroupRow]:
    return [
        GroupRow(
            name=group["name"] or ABSENT,
            count=group["count"],
            base=_number(group["base"]),
            last=_number(group["last"]),
            candidate=_number(group["candidate"]),
            change=_difference(group["base"] if group["last"] is None else group["last"], group["candidate"]),
        )
        for group in report.get("groups", [])
        if group["kind"] == kind
    ]


def _difference(before: float | None, after: float | None) -> str:
    return ABSENT if before is None or after is None else f"{after - before:+.2f}"


def _subjects(comparison: Mapping[str, Any]) -> list[SubjectRow]:
    scores = comparison.get("scores", [])
    if not scores:
        return []
    right, count = (sum(score[name] for score in scores) for name in ("right", "count"))
    tests = {test["subject"]: test for test in comparison["subjects"]}
    everything = {"subject": gettext("all questions"), "right": right, "count": count}
    rows = [(everything, comparison["overall"])] + [(score, tests.get(score["subject"])) for score in scores]
    return [_subject(score, test) for score, test in rows]


def _subject(score: Mapping[str, Any], test: Mapping[str, Any] | None) -> SubjectRow:
    row = {**score, "right_pixels": _pixels(score["right"], score["count"])}
    if test is None:
        return SubjectRow(**row)
    paired = test["paired"]
    count = sum(paired.values())
    return SubjectRow(
        **row,
        before_pixels=_pixels(paired["both"] + paired["lost"], count),
        lost=str(paired["lost"]),
        gained=str(paired["gained"]),
        p_worse=_probability(test["p_corrected"]),
        visible=_visible(test["visible"], count),
        visible_with_power=_visible(test["visible_with_power"], count),
    )


def _visible(questions: float | None, count: int) -> str:
    return ABSENT if questions is None else f"{round(questions, 1):g} ({questions / count:.0%})"


def _probability(value: float) -> str:
    return f"{value:.3f}" if value >= SMALLEST_PROBABILITY else f"< {SMALLEST_PROBABILITY}"


def _finding(finding: Mapping[str, str], comparison: Mapping[str, Any]) -> FindingRow:
    return FindingRow(
        prompt=finding["prompt"],
        words=gettext(FINDINGS.get(finding["kind"], finding["kind"])),
        phrase=finding["phrase"],
        is_new=finding in comparison.get("new_findings", []),
    )


def _pixels(part: int, whole: int) -> int:
    return round(BAR_PIXELS * part / whole)


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"
