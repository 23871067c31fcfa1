"""Has the gate judge what was measured of a release, against the release that it would replace."""

from __future__ import annotations

from datetime import datetime

from central.releases.gate import AdapterReport, BaseReport, GateBounds, adapter_judge, base_judge
from central.releases.models import Release, ReleaseKindChoice
from central.releases.services import release_judge
from central.releases.suite_comparison import Replaced, SuiteReport, suites_compare
from federation.wire.canonical import from_plain


def release_gate(*, release: Release, report: BaseReport | AdapterReport, now: datetime) -> None:
    """Leave the release at the gate judged: awaiting its signature, or refused."""
    bounds = GateBounds()
    comparison = suites_compare(report.suite, _replaced(release), alpha=bounds.alpha)
    if isinstance(report, BaseReport):
        verdict = base_judge(report, comparison, bounds)
    else:
        verdict = adapter_judge(report, comparison, bounds)
    release_judge(release=release, report=report, comparison=comparison, verdict=verdict, now=now)


def release_replaced(release: Release) -> Release | None:
    """Return what a school would run without `release`.

    For a base the newest other base in force; for an adapter the newest other one in force on its base, or that base.
    """
    others = Release.objects.in_force().exclude(pk=release.pk).order_by("-version")
    if release.base is None:
        return others.filter(kind=ReleaseKindChoice.BASE).first()
    return others.filter(base=release.base).first() or release.base


def suite_stored(release: Release) -> SuiteReport | None:
    """Return how the release answered the suites; None where it was judged before there were any."""
    plain = release.gate_report.get("suite")
    return from_plain(SuiteReport, plain) if plain else None


def _replaced(release: Release) -> Replaced | None:
    replaced = release_replaced(release)
    return Replaced(digest=replaced.digest, report=suite_stored(replaced)) if replaced else None
