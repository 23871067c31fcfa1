"""How a training's deltas move along the loss's gradient: by Adam, or by natural steps.

A natural step divides the gradient of each slot by the school's own Gram matrix there, the same by which the centre
weighs what the school has learnt. So one step each of all schools, added up by least squares, is one such step on all
their labels together, however different they are; and each step is of one length, so that no school runs ahead of what
its gradient knows. Adam's first steps are as long in directions that hardly matter as in those that do.

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

from federation.learning.gram_matrix import gram_scaled

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
    """Steps of `length`, as one L2 norm over all deltas, along (G + ridge I)⁻¹ times the gradient of each."""

    def __init__(
        self,
        deltas: Mapping[str, nn.Parameter],
        grams: Mapping[str, NDArray[np.float32]],
        *,
        ridge: float,
        length: float,
    ) -> None:
        """Move `deltas` (rank, columns), by slot; a slot without a Gram matrix follows its plain gradient."""
        self._deltas, self._length = deltas, length
        self._stiffness = {slot: _stiffness(grams.get(slot), len(delta), ridge) for slot, delta in deltas.items()}

    @torch.no_grad()
    def move(self) -> None:
        """Move the deltas; see LocalSteps. Without any gradient they stay."""
        ways = {
            slot: torch.cholesky_solve(delta.grad.double(), self._stiffness[slot])
            for slot, delta in self._deltas.items()
            if delta.grad is not None
        }
        norm = math.sqrt(sum(float(way.square().sum()) for way in ways.values()))
        if norm > 0:
            for slot, way in ways.items():
                self._deltas[slot].sub_((way * (self._length / norm)).float())

    def state(self) -> dict[str, Any]:
        """Return nothing: the Gram matrices are measured anew at the start of each training."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on: every step depends on the deltas alone."""


def _stiffness(gram: NDArray[np.float32] | None, rank: int, ridge: float) -> torch.Tensor:
    """Return the Cholesky factor of G + ridge I, G of trace rank."""
    own = np.eye(rank, dtype=np.float32) if gram is None else gram_scaled(gram)
    stiff = torch.from_numpy(own).double() + ridge * torch.eye(rank, dtype=torch.float64)
    factor: torch.Tensor = torch.linalg.cholesky(stiff)
    return factor
