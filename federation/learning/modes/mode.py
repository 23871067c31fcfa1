"""The modes of a season, and which schemes can keep their word under them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from federation.errors import WireError
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import SchemeName

LINEAR = frozenset({SchemeName.FFA_LORA, SchemeName.FED_SB})
"""Schemes whose served adapter is a linear function of what schools send, so that a clip and noise bound what shows."""
BY_COORDINATE = LINEAR | {SchemeName.FEDIT}
"""Schemes that average their arrays number by number; FLoRA adds up products, where a number alone says nothing."""
HALF = 0.5
LARGEST_DELTA = 1e-3
FEWEST = 3
"""Below three no rule can tell which of the updates is the odd one."""


class Mode(StrEnum):
    """What a season promises beside learning."""

    PLAIN = "plain"
    ROBUST = "robust"
    """A minority of schools that send poison moves the adapter little (`modes.robust`)."""
    PRIVATE = "private"
    """What one school's teachers wrote shows in the adapters by at most ε (`modes.private`)."""


class RobustRule(StrEnum):
    """How the updates of a region become one voice."""

    TRIMMED_MEAN = "trimmed-mean"
    MEDIAN = "median"
    KRUM = "krum"
    MULTI_KRUM = "multi-krum"

    @property
    def is_by_coordinate(self) -> bool:
        """Tell whether it looks at each number of the arrays by itself, instead of choosing whole updates."""
        return self in (RobustRule.TRIMMED_MEAN, RobustRule.MEDIAN)


class ModeTermsInvalid(WireError):
    """A season's settings for its mode are out of range; `field` names which."""

    code = "mode_terms_invalid"


class ModesExclude(WireError):
    """A season was given the settings of another mode than its own: robust and private are never claimed at once."""

    code = "modes_exclude"


class SchemeNotForMode(WireError):
    """The season's scheme, or the way it is fused, cannot keep the promise of the season's mode."""

    code = "scheme_not_for_mode"


class SchoolTwiceInRound(WireError):
    """A robust or private round was to count two updates of one school."""

    code = "school_twice_in_round"


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustTerms:
    """A robust season's settings."""

    rule: RobustRule = RobustRule.TRIMMED_MEAN
    share: float = 0.2
    """Of a region's schools, how many may be poisoned; above 0 and below a half."""
    fewest: int = 5
    """Schools that a region needs to speak for itself: with 0.2 foreseen, one of five may be poisoned."""

    def __post_init__(self) -> None:
        if not 0.0 < self.share < HALF:
            raise ModeTermsInvalid(field="share", value=self.share)
        if self.fewest < FEWEST:
            raise ModeTermsInvalid(field="fewest", value=self.fewest)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateTerms:
    """A private season's settings; they are public, and chosen before any update is seen."""

    noise_multiplier: float
    """Standard deviation of the noise, in units of the most by which one school can move the sum."""
    labels_expected: float
    """What the sum is divided by: the labels, capped and discounted for staleness, that a round is expected to bring.

    Never the labels that it did bring: these say something about the schools.
    """
    delta: float = 1e-5
    """Far below one in the number of schools."""
    budget: float = 8.0
    """The ε, at `delta`, beyond which a school is not asked again."""

    def __post_init__(self) -> None:
        for field in ("noise_multiplier", "labels_expected", "budget"):
            if not getattr(self, field) > 0.0:
                raise ModeTermsInvalid(field=field, value=getattr(self, field))
        if not 0.0 < self.delta < LARGEST_DELTA:
            raise ModeTermsInvalid(field="delta", value=self.delta)


def mode_judge(
    mode: Mode, *, scheme: SchemeName, fusion: Fusion, robust: RobustTerms | None, private: PrivateTerms | None
) -> None:
    """Refuse a season whose mode, settings and scheme do not go together.

    Robust and private exclude each other: one school can move a trimmed mean, a median or Krum's choice by as much as
    schools differ, so noise in units of a share of the clipping norm would claim an ε that does not hold. The fusion by
    least squares is refused for the same reason: a direction in which one school alone looked is nearly that school's
    own, however many take part, so the noise would have to grow with their number (docs/decisions/0045).

    Raises:
        ModesExclude: the settings are not exactly those of the mode.
        SchemeNotForMode: the scheme or its fusion cannot keep the mode's promise.
    """
    if (robust is not None) != (mode is Mode.ROBUST) or (private is not None) != (mode is Mode.PRIVATE):
        raise ModesExclude(mode=mode.value)
    is_unfit = (private is not None and (scheme not in LINEAR or fusion is not Fusion.MEAN)) or (
        robust is not None and robust.rule.is_by_coordinate and scheme not in BY_COORDINATE
    )
    if is_unfit:
        raise SchemeNotForMode(scheme=scheme.value, fusion=fusion.value, mode=mode.value)
