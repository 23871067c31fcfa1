"""Trends as whole numbers for SVG, for the reason that `central.bars` has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TREND_WIDTH, TREND_HEIGHT = 240, 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A share with its interval, at a place in the row of weeks."""

    place: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendLine:
    """What is drawn of a row of shares: the interval's outline, the line, and the last point."""

    band: str
    line: str
    last_x: int
    last_y: int
    width: int = TREND_WIDTH
    height: int = TREND_HEIGHT


def trend_line(spots: Sequence[Spot], *, places: int) -> TrendLine | None:
    """Return the drawing of `spots`, the oldest first, in a row of `places`; None where there are none."""
    if not spots:
        return None
    xs = [_x(spot.place, places) for spot in spots]
    upper = [f"{x},{_y(spot.high)}" for x, spot in zip(xs, spots, strict=True)]
    lower = [f"{x},{_y(spot.low)}" for x, spot in zip(xs, spots, strict=True)]
    line = [f"{x},{_y(spot.share)}" for x, spot in zip(xs, spots, strict=True)]
    return TrendLine(
        band=" ".join([*upper, *reversed(lower)]), line=" ".join(line), last_x=xs[-1], last_y=_y(spots[-1].share)
    )


def _x(place: int, places: int) -> int:
    return 4 + round((TREND_WIDTH - 8) * place / max(places - 1, 1))


def _y(share: float) -> int:
    return round(TREND_HEIGHT * (1 - share))
