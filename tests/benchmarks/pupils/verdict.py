"""What sixteen pupils' waiting comes to, and whether each got the answer to the own question. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.benchmarks.pupils.load import Heard

UNTOLD_AFTER_SECONDS = 2.0
"""Whoever waits longer than this behind another wants to know why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Of one run: seconds from sending a question, and what was wrong with it."""

    first_p95: float
    first_p50: float
    first_max_over_median: float
    whole_p95: float
    tokens_per_second_p50: float
    """That one pupil sees, from the first word on."""
    untold: int
    """Who waited behind another and never heard a place."""
    unanswered: int
    mixed_up: int


def waits_count(
    heard: Sequence[Heard], kept: Sequence[Mapping[str, Any]], *, count_tokens: Callable[[str], int]
) -> Waits:
    """Return what the run's questions come to; `kept` are the rows of the node's turns."""
    firsts = [each.first_seconds or math.inf for each in heard]
    return Waits(
        first_p95=percentile(firsts, 0.95),
        first_p50=median(firsts),
        first_max_over_median=max(firsts) / median(firsts),
        whole_p95=percentile([each.whole_seconds or math.inf for each in heard], 0.95),
        tokens_per_second_p50=median(_speed(each, count_tokens(each.pieces)) for each in heard),
        untold=sum(is_behind_another(each, heard) and not each.places for each in heard),
        unanswered=sum(not each.pieces.strip() for each in heard),
        mixed_up=sum(not is_own(each, kept) for each in heard),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` that at least `share` of them do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def is_behind_another(heard: Heard, others: Sequence[Heard]) -> bool:
    """Return whether the pupil waited for as long while an earlier question had no word yet."""
    until = heard.asked_at + min(heard.first_seconds, UNTOLD_AFTER_SECONDS)
    earlier = [other for other in others if other.asked_at < heard.asked_at < until]
    return heard.first_seconds > UNTOLD_AFTER_SECONDS and any(
        other.asked_at + other.first_seconds >= until for other in earlier
    )


def is_own(heard: Heard, kept: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether what the pupil read is kept once, under the own question, conversation and name."""
    rows = [row for row in kept if heard.nonce in row["question"]]
    return len(rows) == 1 and (
        (rows[0]["person"], rows[0]["conversation"], rows[0]["status"], rows[0]["text"], heard.shown)
        == (heard.person, heard.conversation, "finished", heard.pieces.strip(), heard.pieces.strip())
    )


def _speed(heard: Heard, tokens: int) -> float:
    seconds = heard.whole_seconds - heard.first_seconds
    return tokens / seconds if seconds > 0 else 0.0
