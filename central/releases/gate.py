"""The gate: judges a release by what was measured on the very bytes that would ship, with the engine that schools run.

Pure: reports in, verdict out. A base may be a little less sure than fp32 in each language; an adapter must bring
the corrections nearer and leave everything else where it was. Neither may answer the question suite significantly worse
than the release that it would replace, nor the safety list as that one did not. Each reason is a code with the measured
figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from central.releases.suite_comparison import Comparison, SubjectComparison, SuiteReport
from federation.wire.verdicts import GroupFigure, GroupKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityPair:
    """A language's perplexity in the reference and in what would ship; for an adapter, without and with it."""

    reference: float
    shipped: float

    @property
    def increase(self) -> float:
        """The relative increase; 0.03 is three percent worse."""
        return self.shipped / self.reference - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseReport:
    """What was measured of a base release.

    `divergence` is the largest mean divergence of its expectations from fp32's, in nats a token, over the languages and
    over texts shorter and longer than the sliding window. `vocabulary_increase` is the largest relative increase of
    perplexity, over the languages, by trimming the vocabulary; the build has held it to its bound.
    """

    perplexity: Mapping[str, PerplexityPair]
    divergence: float
    suite: SuiteReport
    vocabulary_increase: float | None = None
    """None where nothing was trimmed, or in a package from before it was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterReport:
    """What was measured of an adapter against its base, in nats a token; losses and gains are positive."""

    perplexity: Mapping[str, PerplexityPair]
    unrelated_loss: float
    unrelated_count: int
    corrections_gain: float | None
    """None where no correction is known."""
    corrections_count: int
    suite: SuiteReport
    corrections_step: float | None = None
    """How much nearer the same corrections are than under the adapter that it follows; None for a season's first."""
    groups: tuple[GroupFigure, ...] = ()
    """All corrections that were measured, also of schools that it did not learn from, by region and by subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateBounds:
    """How far a release may be off."""

    base_perplexity_increase: float = 0.03
    base_divergence: float = 0.10
    """A wrong operator or mask gives whole nats; rounding within the perplexity's bound gives a few hundredths."""
    adapter_perplexity_increase: float = 0.50
    """Of prose: a guard against collapse, which triples it. What pupils see is judged by `unrelated_loss`."""
    unrelated_loss: float = 0.05
    corrections_gain: float = 0.0
    region_drop: float = 0.10
    """In nats a token, of a region's corrections against the adapter before, or the base: as far as rounding moves."""
    region_fewest: int = 3
    """Fewer corrections of a region are one teacher's word, and are drawn only."""
    alpha: float = 0.05
    """One-sided, of «worse than the replaced release»: once for all questions, once for all subjects together."""
    languages: tuple[str, ...] = ("en", "tg")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the release may be signed, and every reason against it."""

    reasons: tuple[str, ...] = field(default=())

    @property
    def has_passed(self) -> bool:
        """Tell whether nothing speaks against the release."""
        return not self.reasons


def base_judge(report: BaseReport, comparison: Comparison, bounds: GateBounds) -> Verdict:
    """Return whether a base may be signed; `comparison` is that of its own suite report."""
    reasons = _perplexity_reasons(report.perplexity, bounds, bounds.base_perplexity_increase)
    if not report.divergence <= bounds.base_divergence:
        reasons.append(f"divergence: {report.divergence:.3f} > {bounds.base_divergence:.3f}")
    return Verdict(reasons=(*reasons, *_suite_reasons(report.suite, comparison, bounds)))


def adapter_judge(report: AdapterReport, comparison: Comparison, bounds: GateBounds) -> Verdict:
    """Return whether an adapter may be signed; `comparison` is that of its own suite report."""
    reasons = _perplexity_reasons(report.perplexity, bounds, bounds.adapter_perplexity_increase)
    if not report.unrelated_loss <= bounds.unrelated_loss:
        reasons.append(f"unrelated_loss: {report.unrelated_loss:.3f} > {bounds.unrelated_loss:.3f}")
    if report.corrections_gain is not None and not report.corrections_gain > bounds.corrections_gain:
        reasons.append(f"corrections_gain: {report.corrections_gain:.3f} <= {bounds.corrections_gain:.3f}")
    reasons += _region_reasons(report.groups, bounds)
    return Verdict(reasons=(*reasons, *_suite_reasons(report.suite, comparison, bounds)))


def _region_reasons(groups: Sequence[GroupFigure], bounds: GateBounds) -> list[str]:
    reasons = []
    for group in groups:
        before = group.base if group.last is None else group.last
        if group.kind is not GroupKind.REGION or group.count < bounds.region_fewest:
            continue
        before, after = (math.nan if value is None else value for value in (before, group.candidate))
        # Written so that what is no number refuses.
        if not before - after <= bounds.region_drop:
            reasons.append(f"region_worse: {group.name or '–'} {before:.3f} → {after:.3f}, n {group.count}")
    return reasons


def _perplexity_reasons(pairs: Mapping[str, PerplexityPair], bounds: GateBounds, allowed: float) -> list[str]:
    # Comparisons are written so that a NaN refuses.
    reasons = [f"perplexity_missing: {language}" for language in bounds.languages if language not in pairs]
    for language, pair in sorted(pairs.items()):
        if not pair.increase <= allowed:
            reasons.append(f"perplexity: {language} {pair.reference:.2f} → {pair.shipped:.2f}")
    return reasons


def _suite_reasons(suite: SuiteReport, comparison: Comparison, bounds: GateBounds) -> list[str]:
    reasons = [] if suite.outcomes else ["suite_missing"]
    tests = [comparison.overall] if comparison.overall else []
    worse = [each for each in (*tests, *comparison.subjects) if not each.p_corrected > bounds.alpha]
    reasons += [_worse_reason(each, bounds) for each in worse]
    reasons += [f"safety: {each.prompt} {each.kind}" for each in comparison.new_findings]
    return reasons


def _worse_reason(test: SubjectComparison, bounds: GateBounds) -> str:
    paired = test.paired
    before, after = paired.both + paired.lost, paired.both + paired.gained
    figures = f"{before} → {after} of {paired.count}, p {test.p_corrected:.4f} <= {bounds.alpha}"
    return f"suite_worse: {test.subject or 'all'} {figures}"
