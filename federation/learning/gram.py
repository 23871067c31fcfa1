"""Measure in which directions of z = x A a school's lessons need their outputs, one Gram matrix a slot.

Least squares at the centre holds what a school learnt on these directions. Over all tokens alike they are filled by
words that the loss does not hang on; so each token counts by the squared length of the loss's gradient at the slot's
output, which is what a change there costs. How large a matrix is says how much: a natural step is short in a slot that
the loss hangs on (`federation.learning.local_steps`).

Source: Matena and Raffel 2022, "Merging models with Fisher-weighted averaging", for the weights; Jin et al. 2023
(RegMean) for the matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.learning.adapted_model import AdaptedLinear, SlotAdapter
from federation.learning.chat import Conversation
from federation.learning.objective import Pulled, loss_accumulate


def grams_measure(
    model: Any,  # noqa: ANN401 - transformers is untyped
    adapters: Mapping[str, SlotAdapter],
    conversations: Sequence[Conversation],
) -> dict[str, NDArray[np.float32]]:
    """Return by slot the mean over `conversations` of n Σ |g|² zᵀz (rank, rank), with what the adapters now hold.

    The sum is over a conversation's tokens; g is the gradient, at the slot's output there, of its mean nats a token,
    and n how many of them it learns: so one long answer weighs like one short one, as in the loss. A slot in which
    nothing changes the loss is left out.
    """
    slot_by_adapter = {id(adapter): slot for slot, adapter in adapters.items()}
    sums = {
        slot: torch.zeros(len(adapter.b), len(adapter.b), dtype=torch.float64) for slot, adapter in adapters.items()
    }
    listeners = [
        module.register_forward_hook(_listener(sums[slot_by_adapter[id(module.adapter)]]))
        for module in model.modules()
        if isinstance(module, AdaptedLinear)
    ]
    try:
        # Squared, the weight of each is n over their number.
        count = len(conversations)
        loss_accumulate(model, [Pulled(each, math.sqrt(_learnt(each) / count)) for each in conversations])
    finally:
        for listener in listeners:
            listener.remove()
        model.zero_grad(set_to_none=True)
    # The halves are summed in different orders, and a Gram matrix must be symmetric to the last bit.
    return {slot: ((total + total.T) / 2).float().numpy() for slot, total in sums.items() if total.trace() > 0}


def _learnt(conversation: Conversation) -> int:
    return len(conversation.ids) - conversation.answer_start


def _listener(total: torch.Tensor) -> Callable[[AdaptedLinear, tuple[torch.Tensor, ...], torch.Tensor], None]:
    def listen(projection: AdaptedLinear, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        x = inputs[0].detach()

        def weigh(gradient: torch.Tensor) -> None:
            # Projections of one slot share z, so their squared gradients add up; a padding token's is 0.
            with torch.no_grad():
                z = projection.adapter.inner(x).flatten(0, -2).double()
                total.add_((z * gradient.flatten(0, -2).double().square().sum(dim=-1, keepdim=True)).T @ z)

        output.register_hook(weigh)

    return listen
