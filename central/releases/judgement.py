"""The gate's findings on each package of a release: of its only one, or of every variant of its base.

Pure. A release of one package is written as that package's findings alone; one of several names the variant of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from central.releases.gate import AdapterReport, BaseReport, Verdict
from central.releases.suite_comparison import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was measured of one package, compared and found against it; `variant` names one of several."""

    variant: str
    report: BaseReport | AdapterReport
    comparison: Comparison
    verdict: Verdict


def reasons_of(judgements: Sequence[Judgement]) -> tuple[str, ...]:
    """Return every reason against the release; one against a variant begins with that variant's name."""
    return tuple(
        f"{judgement.variant} {reason}".strip() for judgement in judgements for reason in judgement.verdict.reasons
    )


def by_variant(plains: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the plain values of a release's only package, or of several the list of all, the first variant first."""
    return plains[""] if "" in plains else {"variants": [{"variant": name, **plains[name]} for name in plains]}


def of_variant(plain: Mapping[str, Any], variant: str) -> Mapping[str, Any]:
    """Return what `by_variant` has put there for `variant`, or for the first where there is none of that name."""
    packages: list[Mapping[str, Any]] = plain.get("variants", [plain])
    return next((each for each in packages if each.get("variant") == variant), packages[0])
