"""Reads a season's settings for its mode, and refuses a season whose mode and scheme do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from central.training.models import Season, SeasonMode
from federation.learning.modes.mode import Mode, ModeTermsInvalid, PrivateTerms, RobustTerms, mode_judge
from federation.learning.schemes.scheme import Fusion
from federation.wire.canonical import from_plain
from federation.wire.rounds import SchemeName


def robust_terms(season: Season) -> RobustTerms:
    """Return a robust season's settings."""
    return from_plain(RobustTerms, season.mode_settings)


def private_terms(season: Season) -> PrivateTerms:
    """Return a private season's settings."""
    return from_plain(PrivateTerms, season.mode_settings)


def mode_expect(
    *, mode: SeasonMode, settings: Mapping[str, Any], scheme: SchemeName, fusion: Fusion, wanted: int
) -> None:
    """Refuse a season of `wanted` updates a round that could not keep what its mode promises.

    Raises:
        MalformedDocument, ModeTermsInvalid: the settings are not the mode's, or its rounds are too small for them.
        SchemeNotForMode: the scheme or its fusion cannot keep the promise.
    """
    robust = from_plain(RobustTerms, settings) if mode == SeasonMode.ROBUST else None
    private = from_plain(PrivateTerms, settings) if mode == SeasonMode.PRIVATE else None
    if robust is not None and wanted < robust.fewest:
        raise ModeTermsInvalid(field="fewest", value=robust.fewest)
    mode_judge(Mode(mode), scheme=scheme, fusion=fusion, robust=robust, private=private)


def round_minimum(*, mode: SeasonMode, settings: Mapping[str, Any], minimum: int, wanted: int) -> int:
    """Return without how many updates a round goes on collecting: a robust one never has fewer than its rule needs."""
    fewest = from_plain(RobustTerms, settings).fewest if mode == SeasonMode.ROBUST else 1
    return min(max(minimum, fewest), wanted)
