"""Turns what the gate measured into what is kept: a plain report on the row, and the document that is signed.

Pure. JSON has no NaN and no infinity; such a figure, which refuses a release, is kept as null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from central.releases.gate import AdapterReport, BaseReport, Verdict
from central.releases.suite_comparison import Comparison
from federation.wire.canonical import to_plain
from federation.wire.verdicts import PerplexityFigure, ReleaseVerdict, SubjectFigure


def report_plain(report: BaseReport | AdapterReport, comparison: Comparison, verdict: Verdict) -> dict[str, Any]:
    """Return all that was measured and found, as the plain JSON values of `Release.gate_report`."""
    whole = {**to_plain(report), "comparison": to_plain(comparison), "reasons": list(verdict.reasons)}
    plain: dict[str, Any] = _finite(whole)
    return plain


def verdict_document(
    *,
    digest: str,
    report: BaseReport | AdapterReport,
    comparison: Comparison,
    verdict: Verdict,
    judged_at: datetime,
) -> ReleaseVerdict:
    """Return the verdict on the release `digest`; each number directly in `report` becomes a figure."""
    numbers = {name: float(value) for name, value in to_plain(report).items() if isinstance(value, float | int)}
    return ReleaseVerdict(
        release=digest,
        replaced=comparison.replaced,
        reasons=verdict.reasons,
        perplexity={
            language: PerplexityFigure(reference=_finite(pair.reference), shipped=_finite(pair.shipped))
            for language, pair in report.perplexity.items()
        },
        figures=_finite(numbers),
        suites=report.suite.suites,
        subjects=_subjects(comparison),
        safety_prompts=report.suite.prompts,
        safety_findings=tuple(f"{each.prompt} {each.kind}" for each in report.suite.findings),
        judged_at=judged_at,
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
