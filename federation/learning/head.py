"""What a frozen head says of hidden states, without a row of logits ever standing for the whole vocabulary.

Of softmax(W s) a loss needs two things: the logarithm of its denominator, and the mean row of W under it, which is that
logarithm's gradient at s. Both are gathered in one pass over the words, so that each piece of W becomes numbers once.

Source: Milakov and Gimelshein 2018, "Online normalizer calculation for softmax".
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from federation.learning.packed import FloatMatrix, PackedLinear, PackedMatrix, matrix_pieces


def head_matrix(model: Any) -> PackedMatrix:  # noqa: ANN401 - transformers is untyped
    """Return the head (words, hidden) of a Gemma3ForCausalLM, packed or plain."""
    head = model.lm_head
    return head.matrix if isinstance(head, PackedLinear) else FloatMatrix(head.weight.detach(), None)


@torch.no_grad()
def head_expect(head: PackedMatrix, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for `states` (n, hidden) the logsumexp of all logits, (n,), and its gradient (n, hidden), in float32."""
    highest = torch.full((len(states), 1), -torch.inf)
    total, mean = torch.zeros(len(states), 1), torch.zeros(states.shape)
    for _, weight in matrix_pieces(head, states.dtype):
        shares = functional.linear(states, weight).float()
        above = torch.maximum(highest, shares.amax(dim=-1, keepdim=True))
        shares.sub_(above).exp_()
        shrink = (highest - above).exp_()
        total.mul_(shrink).add_(shares.sum(dim=-1, keepdim=True))
        mean.mul_(shrink).add_(shares.to(weight.dtype) @ weight)
        highest = above
    return (highest + total.log()).squeeze(-1), mean.div_(total)
