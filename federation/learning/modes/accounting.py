"""How much ε a school has spent, by Google's dp-accounting, and whether another round would pass its budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from federation.learning.modes.mode import PrivateTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """A school's ε before and after one more round."""

    epsilon: float
    epsilon_next: float
    budget: float

    @property
    def is_within(self) -> bool:
        """Tell whether the school may be counted in one more round."""
        return self.epsilon_next <= self.budget


def epsilon_spent(noise_multipliers: Iterable[float], *, delta: float) -> float:
    """Return the ε, at `delta`, of a school that was counted in rounds with these noise multipliers, in any order.

    Rounds compose adaptively: what schools learn from one adapter may go into the next. No amplification by sampling is
    claimed. The neighbours are those of `modes.private`.

    Source: Koskela et al. 2020 and Doroshenko et al. 2022 (privacy loss distributions), as dp-accounting has them.
    """
    counts = Counter(noise_multipliers)
    return _epsilon(tuple(sorted(counts.items())), delta) if counts else 0.0


def spending_after(spent: Iterable[float], *, terms: PrivateTerms) -> Spending:
    """Return what one more round under `terms` would do to a school whose rounds had the noise multipliers `spent`."""
    before = tuple(spent)
    return Spending(
        epsilon=epsilon_spent(before, delta=terms.delta),
        epsilon_next=epsilon_spent((*before, terms.noise_multiplier), delta=terms.delta),
        budget=terms.budget,
    )


# Thousands of schools share a few histories, and each costs a tenth of a second.
@lru_cache(maxsize=4096)
def _epsilon(counts: tuple[tuple[float, int], ...], delta: float) -> float:
    # It brings SciPy along, 60 MB that only a private season needs.
    from dp_accounting import GaussianDpEvent, NeighboringRelation  # noqa: PLC0415
    from dp_accounting.pld import PLDAccountant  # noqa: PLC0415

    accountant = PLDAccountant(NeighboringRelation.REPLACE_SPECIAL)
    for noise_multiplier, rounds in counts:
        accountant.compose(GaussianDpEvent(noise_multiplier), rounds)
    return float(accountant.get_epsilon(delta))
