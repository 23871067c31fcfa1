"""McNemar's test for two models that answered the same questions, and what a suite of so many questions can see.

Pure. Only discordant questions speak: `lost` that the old model had right and the new one has wrong, `gained` the
other way round. If neither is better, each discordant question is a fair coin; the probabilities are exact binomial
sums, never an approximation, because a subject has few questions.
Source: McNemar 1947 (Psychometrika 12); exact form: Agresti, Categorical Data Analysis (3rd ed.), §11.1;
several subjects: Holm 1979 (Scandinavian Journal of Statistics 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, exp, fsum, lgamma, log, log1p

POWER = 0.8
_BISECTIONS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """How two models answered the same questions."""

    both: int
    lost: int
    gained: int
    neither: int

    @property
    def count(self) -> int:
        """How many questions there are."""
        return self.both + self.lost + self.gained + self.neither

    @property
    def discordant(self) -> int:
        """How many questions the two answered differently."""
        return self.lost + self.gained

    @property
    def p_worse(self) -> float:
        """The probability of at least so many lost ones if the new model is not worse (one-sided)."""
        return _fair_tail(self.discordant, self.lost)

    @property
    def p_different(self) -> float:
        """The probability of a split at least so uneven if neither is better (two-sided)."""
        return min(1.0, 2 * _fair_tail(self.discordant, max(self.lost, self.gained)))


def paired_count(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Return the counts of two outcome vectors of the same questions in the same order.

    Raises:
        ValueError: they differ in length.
    """
    pairs = list(zip(before, after, strict=True))
    return Paired(
        both=pairs.count((True, True)),
        lost=pairs.count((True, False)),
        gained=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return each probability as corrected for the others, in the same order; none is above 1."""
    order = sorted(range(len(probabilities)), key=lambda position: probabilities[position])
    corrected = [0.0] * len(probabilities)
    floor = 0.0
    for rank, position in enumerate(order):
        floor = max(floor, min(1.0, (len(order) - rank) * probabilities[position]))
        corrected[position] = floor
    return corrected


def visible_questions(count: int, *, alpha: float) -> int | None:
    """Return the smallest loss, in questions, that can be significant at all among `count` (one-sided).

    It is the smallest n for which n lost and none gained have a probability of at most `alpha`; None when `count` is
    below it: the suite sees nothing.
    """
    return next((lost for lost in range(1, count + 1) if 0.5**lost <= alpha), None)


def visible_with_power(discordant: int, *, alpha: float, power: float = POWER) -> float | None:
    """Return the smallest true loss, in questions, that is found with probability `power`.

    Given `discordant` questions answered differently, of which the share p is lost, the loss is
    `discordant` times (2p - 1); p is the smallest for which the test at `alpha` (one-sided) rejects with `power`. None
    when so few can never be significant.
    """
    critical = _critical(discordant, alpha)
    if critical is None:
        return None
    low, high = 0.5, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if _tail(discordant, critical, middle) >= power else (middle, high)
    return discordant * (2 * high - 1)


def _fair_tail(n: int, at_least: int) -> float:
    """Return the probability of `at_least` or more heads in `n` throws of a fair coin: a ratio of whole numbers."""
    return sum(comb(n, k) for k in range(at_least, n + 1)) / 2**n


def _critical(n: int, alpha: float) -> int | None:
    """Return the fewest heads in `n` throws that a fair coin reaches with at most `alpha`."""
    critical, ways = None, 0
    for heads in range(n, 0, -1):
        ways += comb(n, heads)
        if ways / 2**n > alpha:
            break
        critical = heads
    return critical


def _tail(n: int, at_least: int, p: float) -> float:
    """Return the same for a coin that shows heads with `p` (0 < p < 1); by logarithms, for `n` may be thousands."""
    ways = (lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in range(at_least, n + 1))
    logs = (log_ways + k * log(p) + (n - k) * log1p(-p) for k, log_ways in enumerate(ways, start=at_least))
    return fsum(map(exp, logs))
