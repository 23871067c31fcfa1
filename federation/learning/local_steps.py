"""How a training's deltas move along the loss's gradient: by Adam, or by natural steps.

A natural step divides the gradient of each slot by the school's own Gram matrix there, the same by which the centre
weighs what the school has learnt. So one step each of all schools, added up by least squares, is one such step on all
their labels together, however different they are. Adam's first steps are as long in directions that hardly matter as in
those that do.

Source: Benzing 2022, "Gradient descent on neurons and its link to approximate second-order optimization" (FOOF); here
each token counts by its squared gradient (`federation.learning.gram`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ADAM_DECAYS = (0.9, 0.99)


class LocalSteps(Protocol):
    """Moves a training's deltas."""

    def move(self) -> None:
        """Move the deltas by one step along their gradients."""

    def state(self) -> dict[str, Any]:
        """Return what the next step depends on, beside the deltas."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as `state` says."""


class AdamSteps:
    """Adam at a fixed rate."""

    def __init__(self, deltas: Sequence[nn.Parameter], *, rate: float) -> None:
        """Move `deltas`."""
        self._adam = torch.optim.Adam(deltas, lr=rate, betas=ADAM_DECAYS, foreach=False)

    def move(self) -> None:
        """Move the deltas; see LocalSteps."""
        self._adam.step()

    def state(self) -> dict[str, Any]:
        """Return the optimiser's state; see LocalSteps."""
        return self._adam.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on as `state` says; see LocalSteps."""
        self._adam.load_state_dict(state)


class NaturalSteps:
    """Steps along (G + ridge I)⁻¹ times the gradient of each delta, ridge in units of G's mean eigenvalue.

    A step is at most `longest`, as one L2 norm over all deltas.
    """

    def __init__(
        self,
        deltas: Mapping[str, nn.Parameter],
        grams: Mapping[str, NDArray[np.float32]],
        *,
        ridge: float,
        longest: float,
    ) -> None:
        """Move `deltas` (rank, columns), by slot; one without a Gram matrix, in which nothing counts, stays."""
        self._deltas, self._longest = deltas, longest
        self._stiffness = {slot: _stiffness(gram, ridge) for slot, gram in grams.items()}

    @torch.no_grad()
    def move(self) -> None:
        """Move the deltas; see LocalSteps. Without any gradient they stay."""
        ways = {
            slot: torch.cholesky_solve(delta.grad.double(), self._stiffness[slot])
            for slot, delta in self._deltas.items()
            if delta.grad is not None and slot in self._stiffness
        }
        norm = math.sqrt(sum(float(way.square().sum()) for way in ways.values()))
        share = min(1.0, self._longest / norm) if norm > 0 else 0.0
        for slot, way in ways.items():
            self._deltas[slot].sub_((way * share).float())

    def state(self) -> dict[str, Any]:
        """Return nothing: the Gram matrices are measured anew at the start of each training."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on: every step depends on the deltas alone."""


def _stiffness(gram: NDArray[np.float32], ridge: float) -> torch.Tensor:
    """Return the Cholesky factor of G + ridge I."""
    own = torch.from_numpy(gram).double()
    stiff = own + ridge * own.trace() / len(own) * torch.eye(len(own), dtype=torch.float64)
    factor: torch.Tensor = torch.linalg.cholesky(stiff)
    return factor
