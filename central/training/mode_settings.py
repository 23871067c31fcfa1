"""Reads a season's settings for its mode, and refuses a season whose mode and scheme do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from central.training.models import Season, SeasonMode
from federation.learning.modes.mode import Mode, PrivateTerms, RobustTerms, mode_judge
from federation.learning.schemes.scheme import Fusion
from federation.wire.canonical import from_plain
from federation.wire.rounds import SchemeName


def robust_terms(season: Season) -> RobustTerms:
    """Return a robust season's settings."""
    return from_plain(RobustTerms, season.mode_settings)


def private_terms(season: Season) -> PrivateTerms:
    """Return a private season's settings."""
    return from_plain(PrivateTerms, season.mode_settings)


def mode_expect(*, mode: SeasonMode, settings: Mapping[str, Any], scheme: SchemeName, fusion: Fusion) -> None:
    """Refuse a season that could not keep what its mode promises.

    Raises:
        MalformedDocument, ModeTermsInvalid: the settings are not the mode's.
        SchemeNotForMode: the scheme or its fusion cannot keep the promise.
    """
    robust = from_plain(RobustTerms, settings) if mode == SeasonMode.ROBUST else None
    private = from_plain(PrivateTerms, settings) if mode == SeasonMode.PRIVATE else None
    mode_judge(Mode(mode), scheme=scheme, fusion=fusion, robust=robust, private=private)
