"""Bars as whole numbers for SVG. Pure.

Whole, because a fraction would be written with a comma in Tajik and Russian.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BAR_WIDTH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A piece of a bar: where it begins and how wide it is, of BAR_WIDTH."""

    start: int
    width: int


def bar_segments(parts: Sequence[int], *, whole: int) -> list[Segment]:
    """Return the pieces of a bar in order; what is there at all is seen, however small, and together they fit."""
    if whole <= 0:
        return [Segment(start=0, width=0) for _part in parts]
    edges = [round(BAR_WIDTH * sum(parts[:count]) / whole) for count in range(len(parts) + 1)]
    return [
        Segment(start=start, width=max(end - start, 4 if part else 0))
        for part, start, end in zip(parts, edges, edges[1:], strict=False)
    ]
