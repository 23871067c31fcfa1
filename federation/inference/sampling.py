"""Picks the next token from what the model expects: the likeliest, or a draw by temperature and top-p."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are picked. Temperature 0 is greedy; `top_p` keeps the likeliest tokens that sum up to it."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


GREEDY = Sampling()
# Below the 200 likeliest of a hundred thousand tokens hardly any probability is left, and sorting all takes longer
# than the model does.
_CONSIDERED = 200


class Sampler:
    """Draws for one answer; the same seed and the same logits give the same tokens."""

    def __init__(self, sampling: Sampling) -> None:
        """Start the draw from the seed."""
        self._sampling = sampling
        self._rng = np.random.default_rng(sampling.seed)

    def pick(self, logits: NDArray[np.float32]) -> int:
        """Return one token id for float32 (vocabulary,)."""
        if self._sampling.temperature <= 0:
            return int(logits.argmax())
        likeliest = np.argpartition(logits, -min(_CONSIDERED, len(logits)))[-_CONSIDERED:]
        likeliest = likeliest[np.argsort(-logits[likeliest], kind="stable")]
        scaled = logits[likeliest].astype(np.float64) / self._sampling.temperature
        probabilities = np.exp(scaled - scaled[0])
        probabilities /= probabilities.sum()
        # A token stays when those before it have not reached top_p yet, so at least one does.
        stays = np.cumsum(probabilities) - probabilities < self._sampling.top_p
        kept = probabilities[stays] / probabilities[stays].sum()
        return int(likeliest[stays][self._rng.choice(len(kept), p=kept)])
