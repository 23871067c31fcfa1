"""Has the gate judge what was measured of a release, against the release that it would replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from central.releases.gate import AdapterReport, BaseReport, GateBounds, adapter_judge, base_judge
from central.releases.judgement import Judgement, of_variant
from central.releases.models import Release, ReleaseKindChoice
from central.releases.services import release_judge
from central.releases.suite_comparison import Replaced, SuiteReport, suites_compare
from federation.wire.canonical import from_plain


def release_gate(*, release: Release, reports: Mapping[str, BaseReport | AdapterReport], now: datetime) -> None:
    """Leave the release at the gate judged: awaiting its signature, or refused.

    `reports` are by variant of the base, the first one first; by no name where the base has but one form.
    """
    # Each variant is one more chance to find a release worse that is not: together they have the chance of one.
    bounds = GateBounds()
    bounds = replace(bounds, alpha=bounds.alpha / len(reports))
    replaced = release_replaced(release)
    judgements = [_judgement(name, report, replaced, bounds) for name, report in reports.items()]
    release_judge(release=release, judgements=judgements, now=now)


def release_replaced(release: Release) -> Release | None:
    """Return what a school would run without `release`.

    For a base the newest other base in force; for an adapter the newest other one in force on its base, or that base.
    """
    others = Release.objects.in_force().exclude(pk=release.pk).order_by("-version")
    if release.base is None:
        return others.filter(kind=ReleaseKindChoice.BASE).first()
    return others.filter(base=release.base).first() or release.base


def suite_stored(release: Release, variant: str = "") -> SuiteReport | None:
    """Return how the release answered the suites; None where it was judged before there were any.

    Of several variants that of `variant`, or of the first where there is none of that name.
    """
    plain = of_variant(release.gate_report, variant).get("suite")
    return from_plain(SuiteReport, plain) if plain else None


def _judgement(
    variant: str, report: BaseReport | AdapterReport, replaced: Release | None, bounds: GateBounds
) -> Judgement:
    before = Replaced(digest=replaced.digest, report=suite_stored(replaced, variant)) if replaced else None
    comparison = suites_compare(report.suite, before, alpha=bounds.alpha)
    if isinstance(report, BaseReport):
        verdict = base_judge(report, comparison, bounds)
    else:
        verdict = adapter_judge(report, comparison, bounds)
    return Judgement(variant=variant, report=report, comparison=comparison, verdict=verdict)
