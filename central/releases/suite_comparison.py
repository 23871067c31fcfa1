"""Compares what the suite and the safety list found with the same of the release that would be replaced.

Pure. Only questions of files that are the same byte for byte are paired: a changed file may ask something else under
an old id. The whole is tested at `alpha` by itself; subjects are tested together, corrected after Holm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from central.releases.mcnemar import Paired, holm, paired_count, visible_questions, visible_with_power
from federation.inference.suite_run import Outcome, SafetyFinding

NOTHING_TO_REPLACE = "nothing_to_replace"
NO_STORED_OUTCOMES = "no_stored_outcomes"
SUITES_DIFFER = "suites_differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """The outcomes of all questions by key, and the findings of all safety prompts; `suites` holds SHA-256 by name."""

    suites: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    prompts: int = 0
    findings: tuple[SafetyFinding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The release that would be replaced, by digest, with its stored report where there is one."""

    digest: str
    report: SuiteReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectScore:
    """How many questions of a subject were answered right."""

    subject: str
    right: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectComparison:
    """The paired test of one subject, or of all questions when `subject` is empty."""

    subject: str
    paired: Paired
    p_worse: float
    p_different: float
    p_corrected: float
    """`p_worse` after Holm; that of all questions is not corrected."""
    visible: int | None
    """The smallest loss, in questions, that can be significant at all (at a subject's strictest bound)."""
    visible_with_power: float | None
    """The smallest true loss, in questions, that is found four times in five, given how many differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All that is known about better and worse; `problem` says why nothing was paired."""

    scores: tuple[SubjectScore, ...]
    replaced: str | None
    problem: str
    overall: SubjectComparison | None
    subjects: tuple[SubjectComparison, ...]
    new_findings: tuple[SafetyFinding, ...]
    """Findings that the replaced release's stored report has not."""


def suites_compare(report: SuiteReport, replaced: Replaced | None, *, alpha: float) -> Comparison:
    """Return `report` compared with the replaced release's, as far as that one holds the same files."""
    before = replaced.report if replaced else None
    pairs = _pairs(report, before) if before else {}
    return Comparison(
        scores=_scores(report),
        replaced=replaced.digest if replaced else None,
        problem="" if pairs else _problem(replaced),
        overall=_test("", list(pairs.values()), alpha) if pairs else None,
        subjects=_subjects_test(report, pairs, alpha),
        new_findings=tuple(each for each in report.findings if not before or each not in before.findings),
    )


def _problem(replaced: Replaced | None) -> str:
    if replaced is None:
        return NOTHING_TO_REPLACE
    return SUITES_DIFFER if replaced.report else NO_STORED_OUTCOMES


def _pairs(report: SuiteReport, before: SuiteReport) -> dict[str, tuple[bool, bool]]:
    same = {name for name, sha256 in report.suites.items() if before.suites.get(name) == sha256}
    return {
        key: (before.outcomes[key].is_right, outcome.is_right)
        for key, outcome in report.outcomes.items()
        if key.partition("/")[0] in same and key in before.outcomes
    }


def _scores(report: SuiteReport) -> tuple[SubjectScore, ...]:
    count = Counter(outcome.subject for outcome in report.outcomes.values())
    right = Counter(outcome.subject for outcome in report.outcomes.values() if outcome.is_right)
    return tuple(SubjectScore(subject=each, right=right[each], count=count[each]) for each in sorted(count))


def _subjects_test(
    report: SuiteReport, pairs: Mapping[str, tuple[bool, bool]], alpha: float
) -> tuple[SubjectComparison, ...]:
    by_subject: dict[str, list[tuple[bool, bool]]] = {}
    for key, pair in pairs.items():
        by_subject.setdefault(report.outcomes[key].subject, []).append(pair)
    # Holm holds the least probable of m subjects to alpha / m: what a subject can see is stated at that bound.
    strictest = alpha / max(1, len(by_subject))
    tests = [_test(subject, each, strictest) for subject, each in sorted(by_subject.items())]
    corrected = holm([test.p_worse for test in tests])
    return tuple(replace(test, p_corrected=each) for test, each in zip(tests, corrected, strict=True))


def _test(subject: str, pairs: Sequence[tuple[bool, bool]], alpha: float) -> SubjectComparison:
    paired = paired_count([before for before, _ in pairs], [after for _, after in pairs])
    return SubjectComparison(
        subject=subject,
        paired=paired,
        p_worse=paired.p_worse,
        p_different=paired.p_different,
        p_corrected=paired.p_worse,
        visible=visible_questions(paired.count, alpha=alpha),
        visible_with_power=visible_with_power(paired.discordant, alpha=alpha),
    )
