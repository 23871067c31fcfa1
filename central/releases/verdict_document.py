"""Turns what the gate measured into what is kept: a plain report on the row, and the document that is signed.

Pure. JSON has no NaN and no infinity; such a figure, which refuses a release, is kept as null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from central.releases.gate import AdapterReport, BaseReport
from central.releases.judgement import Judgement, by_variant, reasons_of
from central.releases.suite_comparison import Comparison
from federation.wire.canonical import to_plain
from federation.wire.verdicts import GroupFigure, PackageVerdict, PerplexityFigure, ReleaseVerdict, SubjectFigure


def report_plain(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Return all that was measured and found, as the plain JSON values of `Release.gate_report`."""
    whole = by_variant({judgement.variant: _judgement_plain(judgement) for judgement in judgements})
    plain: dict[str, Any] = _finite({**whole, "reasons": list(reasons_of(judgements))})
    return plain


def verdict_document(*, digest: str, judgements: Sequence[Judgement], judged_at: datetime) -> ReleaseVerdict:
    """Return the verdict on the release `digest`; each number directly in a report becomes a figure."""
    # Every package was asked the same suites and compared with the same release.
    first = judgements[0]
    found = _package_verdict(first)
    return ReleaseVerdict(
        release=digest,
        replaced=first.comparison.replaced,
        reasons=reasons_of(judgements),
        perplexity=found.perplexity,
        figures=found.figures,
        suites=first.report.suite.suites,
        subjects=found.subjects,
        safety_prompts=first.report.suite.prompts,
        safety_findings=found.safety_findings,
        judged_at=judged_at,
        groups=found.groups,
        variants={each.variant: _package_verdict(each) for each in judgements if each.variant},
    )


def _judgement_plain(judgement: Judgement) -> dict[str, Any]:
    found = {"comparison": to_plain(judgement.comparison), "reasons": list(judgement.verdict.reasons)}
    return {**to_plain(judgement.report), **found}


def _package_verdict(judgement: Judgement) -> PackageVerdict:
    report = judgement.report
    numbers = {name: float(value) for name, value in to_plain(report).items() if isinstance(value, float | int)}
    return PackageVerdict(
        reasons=judgement.verdict.reasons,
        perplexity={
            language: PerplexityFigure(reference=_finite(pair.reference), shipped=_finite(pair.shipped))
            for language, pair in report.perplexity.items()
        },
        figures=_finite(numbers),
        subjects=_subjects(judgement.comparison),
        safety_findings=tuple(f"{each.prompt} {each.kind}" for each in report.suite.findings),
        groups=_groups(report),
    )


def _groups(report: BaseReport | AdapterReport) -> tuple[GroupFigure, ...]:
    groups = report.groups if isinstance(report, AdapterReport) else ()
    return tuple(
        replace(each, base=_finite(each.base), last=_finite(each.last), candidate=_finite(each.candidate))
        for each in groups
    )


def _subjects(comparison: Comparison) -> tuple[SubjectFigure, ...]:
    compared = {each.subject: each for each in comparison.subjects}
    return tuple(
        SubjectFigure(
            subject=score.subject,
            count=score.count,
            right=score.right,
            lost=test.paired.lost if test else None,
            gained=test.paired.gained if test else None,
            p_worse=test.p_corrected if test else None,
        )
        for score in comparison.scores
        for test in [compared.get(score.subject)]
    )


def _finite(value: Any) -> Any:  # noqa: ANN401 - plain JSON values
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
