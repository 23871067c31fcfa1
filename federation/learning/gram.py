"""Measure in which directions of z = x A a school's own examples lie, one Gram matrix zᵀz a slot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.learning.adapted_model import AdaptedLinear, SlotAdapter
from federation.learning.chat import Conversation


def grams_measure(
    model: Any,  # noqa: ANN401 - transformers is untyped
    adapters: Mapping[str, SlotAdapter],
    conversations: Sequence[Conversation],
) -> dict[str, NDArray[np.float32]]:
    """Return zᵀz (rank, rank) by slot, summed over every token of `conversations`, with what the adapters now hold.

    The projections of one slot share x and A, so the first of them speaks for all.
    """
    slot_by_adapter = {id(adapter): slot for slot, adapter in adapters.items()}
    sums = {
        slot: torch.zeros(len(adapter.b), len(adapter.b), dtype=torch.float64) for slot, adapter in adapters.items()
    }
    listeners = [
        module.register_forward_pre_hook(_listener(sums[slot_by_adapter[id(module.adapter)]]))
        for module in model.modules()
        if isinstance(module, AdaptedLinear) and module.start == 0
    ]
    try:
        with torch.no_grad():
            for conversation in conversations:
                model.model(input_ids=torch.tensor([conversation.ids]), use_cache=False)
    finally:
        for listener in listeners:
            listener.remove()
    # The halves are summed in different orders, and a Gram matrix must be symmetric to the last bit.
    return {slot: ((total + total.T) / 2).float().numpy() for slot, total in sums.items()}


def _listener(total: torch.Tensor) -> Callable[[AdaptedLinear, tuple[torch.Tensor, ...]], None]:
    def listen(projection: AdaptedLinear, inputs: tuple[torch.Tensor, ...]) -> None:
        z = projection.adapter.inner(inputs[0].flatten(0, -2)).double()
        total.add_(z.T @ z)

    return listen
