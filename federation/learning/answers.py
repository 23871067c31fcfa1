"""How likely a model finds the tokens of answers, and in which direction their hidden states make them likelier.

Only positions whose next token belongs to an answer meet the head, and what they need of it costs megabytes whatever
the vocabulary (`federation.learning.head`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

from federation.learning.chat import Conversation
from federation.learning.head import head_expect, head_matrix

BATCH_TOKENS = 256
"""Padded tokens that go through the model at once; bounds the memory of activations.

A pair of long answers alone may have more: then each layer's activations are made again in the backward pass.
"""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerRead:
    """What a model makes of one answer of n tokens, all float32."""

    logprobs: torch.Tensor
    """(n,), nats."""
    rise: torch.Tensor
    """(n, hidden): the gradient of each of them at its hidden state."""
    mean: torch.Tensor
    """(n, hidden): the head's mean row under the prediction there."""


class _Conversing(Protocol):
    @property
    def conversations(self) -> tuple[Conversation, ...]: ...


_Item = TypeVar("_Item", bound=_Conversing)


def answer_states(model: Any, conversations: Sequence[Conversation]) -> list[torch.Tensor]:  # noqa: ANN401 - transformers is untyped
    """Return the last hidden states that predict each answer's tokens, (positions, hidden) each, with their graph."""
    longest = max(len(conversation.ids) for conversation in conversations)
    ids = torch.zeros(len(conversations), longest, dtype=torch.long)
    mask = torch.zeros(len(conversations), longest, dtype=torch.long)
    for row, conversation in enumerate(conversations):
        ids[row, : len(conversation.ids)] = torch.tensor(conversation.ids)
        mask[row, : len(conversation.ids)] = 1
    # transformers recomputes in training mode alone, which changes nothing else in a model without dropout.
    model.train(mode=ids.numel() > BATCH_TOKENS)
    states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return [states[row, c.answer_start - 1 : len(c.ids) - 1] for row, c in enumerate(conversations)]


@torch.no_grad()
def answers_read(
    model: Any,  # noqa: ANN401 - transformers is untyped
    conversations: Sequence[Conversation],
    states: Sequence[torch.Tensor],
) -> list[AnswerRead]:
    """Return what `model` makes of each answer, whose `answer_states` are given."""
    head = head_matrix(model)
    own = torch.cat([each.detach() for each in states])
    labels = torch.cat([torch.tensor(each.ids[each.answer_start :]) for each in conversations])
    log_total, mean = head_expect(head, own)
    # In the type of the states, like every other row of the head.
    rows = head.pick(labels).to(own.dtype).float()
    logprobs = (own.float() * rows).sum(dim=-1) - log_total
    counts = [len(each) for each in states]
    pieces = zip(logprobs.split(counts), (rows - mean).split(counts), mean.split(counts), strict=True)
    return [AnswerRead(*piece) for piece in pieces]


@torch.no_grad()
def answers_judge(model: Any, conversations: Sequence[Conversation]) -> Iterator[AnswerRead]:  # noqa: ANN401 - transformers is untyped
    """Yield what `model` makes of each answer; no graph is kept, and no more than one batch's rows."""
    for batch in batches([_Alone((each,)) for each in conversations]):
        together = [item.conversations[0] for item in batch]
        yield from answers_read(model, together, answer_states(model, together))


def answer_nats(model: Any, conversations: Sequence[Conversation]) -> list[float]:  # noqa: ANN401 - transformers is untyped
    """Return the mean nats a token of each conversation's answer under `model`."""
    return [-float(read.logprobs.mean()) for read in answers_judge(model, conversations)]


def answer_totals(model: Any, conversations: Sequence[Conversation]) -> list[float]:  # noqa: ANN401 - transformers is untyped
    """Return the log-probability of each conversation's whole answer under `model`, nats."""
    return [float(read.logprobs.sum()) for read in answers_judge(model, conversations)]


def batches(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """Yield `items` in order, as many together as `BATCH_TOKENS` allow; what one holds stays together."""
    batch: list[_Item] = []
    longest = count = 0
    for item in items:
        longest_with = max(longest, *(len(each.ids) for each in item.conversations))
        if batch and longest_with * (count + len(item.conversations)) > BATCH_TOKENS:
            yield batch
            batch, count = [], 0
            longest_with = max(len(each.ids) for each in item.conversations)
        batch.append(item)
        longest, count = longest_with, count + len(item.conversations)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class _Alone:
    conversations: tuple[Conversation, ...]
