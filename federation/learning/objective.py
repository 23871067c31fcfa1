"""The training loss, computed in pieces so that a vocabulary of 262,144 words costs megabytes and not gigabytes.

Only positions whose next token belongs to an answer go through the head, `HEAD_POSITIONS` at a time, and each piece's
gradient is taken at once. A school's own examples are pulled towards their answers. Anchors are pulled towards theirs
and held, by the divergence from what the frozen base predicted, where they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from federation.learning.chat import Conversation

HEAD_POSITIONS = 32
BATCH_TOKENS = 1024
"""Padded tokens that go through the model at once; bounds the memory of activations."""


@dataclass(frozen=True, slots=True)
class Target:
    """One conversation and what it adds to the loss.

    `pull` times the mean cross-entropy of its answer's tokens, plus, where `base_states` are given, `hold` times their
    mean divergence from the base, whose last hidden states at those positions they are: (positions, hidden).
    """

    conversation: Conversation
    pull: float
    hold: float = 0.0
    base_states: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Positions:
    """All answer positions of a batch, one row each."""

    states: torch.Tensor
    base_states: torch.Tensor
    labels: torch.Tensor
    pull: torch.Tensor
    hold: torch.Tensor


def answer_states(model: Any, conversations: Sequence[Conversation]) -> list[torch.Tensor]:  # noqa: ANN401 - transformers is untyped
    """Return the last hidden states that predict each answer's tokens, (positions, hidden) each, with their graph."""
    longest = max(len(conversation.ids) for conversation in conversations)
    ids = torch.zeros(len(conversations), longest, dtype=torch.long)
    mask = torch.zeros(len(conversations), longest, dtype=torch.long)
    for row, conversation in enumerate(conversations):
        ids[row, : len(conversation.ids)] = torch.tensor(conversation.ids)
        mask[row, : len(conversation.ids)] = 1
    states = model.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return [states[row, c.answer_start - 1 : len(c.ids) - 1] for row, c in enumerate(conversations)]


def loss_accumulate(model: Any, targets: Sequence[Target]) -> list[float]:  # noqa: ANN401 - transformers is untyped
    """Add the gradient of the targets' summed loss to the model's parameters; return each one's mean nats a token."""
    nats: list[float] = []
    for batch in _batches(targets):
        states = answer_states(model, [target.conversation for target in batch])
        positions = _positions(states, batch)
        gradient, losses = _head_gradient(model.lm_head.weight, positions)
        counts = [len(own) for own in states]
        torch.autograd.backward(states, list(gradient.split(counts)))
        nats += [float(own.mean()) for own in losses.split(counts)]
    return nats


def answer_nats(model: Any, conversations: Sequence[Conversation]) -> list[float]:  # noqa: ANN401 - transformers is untyped
    """Return the mean nats a token of each conversation's answer under `model`."""
    nats: list[float] = []
    with torch.no_grad():
        for conversation in conversations:
            (states,) = answer_states(model, [conversation])
            labels = torch.tensor(conversation.ids[conversation.answer_start :])
            pieces = [
                functional.cross_entropy(_logits(model.lm_head.weight, part), wanted, reduction="sum")
                for part, wanted in zip(states.split(HEAD_POSITIONS), labels.split(HEAD_POSITIONS), strict=True)
            ]
            nats.append(float(sum(pieces)) / len(labels))
    return nats


def _batches(targets: Sequence[Target]) -> list[list[Target]]:
    batches: list[list[Target]] = [[]]
    longest = 0
    for target in targets:
        longest = max(longest, len(target.conversation.ids))
        if batches[-1] and longest * (len(batches[-1]) + 1) > BATCH_TOKENS:
            batches.append([])
            longest = len(target.conversation.ids)
        batches[-1].append(target)
    return batches


def _positions(states: Sequence[torch.Tensor], batch: Sequence[Target]) -> _Positions:
    labels = [torch.tensor(t.conversation.ids[t.conversation.answer_start :]) for t in batch]
    return _Positions(
        states=torch.cat([own.detach() for own in states]),
        base_states=torch.cat(
            [own.detach() if t.base_states is None else t.base_states for own, t in zip(states, batch, strict=True)]
        ),
        labels=torch.cat(labels),
        pull=torch.cat([torch.full((len(own),), t.pull / len(own)) for own, t in zip(states, batch, strict=True)]),
        hold=torch.cat([torch.full((len(own),), t.hold / len(own)) for own, t in zip(states, batch, strict=True)]),
    )


def _head_gradient(head: torch.Tensor, positions: _Positions) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss's gradient at the states, of their shape and dtype, and the nats of each position's token."""
    states = positions.states.requires_grad_()
    nats = torch.empty(len(states))
    for start in range(0, len(states), HEAD_POSITIONS):
        piece = slice(start, start + HEAD_POSITIONS)
        logits = _logits(head, states[piece])
        own = functional.cross_entropy(logits, positions.labels[piece], reduction="none")
        loss = torch.dot(positions.pull[piece], own)
        held = positions.hold[piece] > 0
        if bool(held.any()):
            divergence = _divergence(head, positions.base_states[piece][held], logits[held])
            loss = loss + torch.dot(positions.hold[piece][held], divergence)
        loss.backward()
        nats[piece] = own.detach()
    gradient = states.grad
    if gradient is None:
        raise ValueError("no conversation has an answer to learn")
    return gradient, nats


def _divergence(head: torch.Tensor, base_states: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the Kullback-Leibler divergence between the base's next-token distribution and ours, (positions,)."""
    with torch.no_grad():
        base = functional.log_softmax(_logits(head, base_states), dim=-1)
    current = functional.log_softmax(logits, dim=-1)
    return functional.kl_div(current, base, reduction="none", log_target=True).sum(dim=-1)


def _logits(head: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    return functional.linear(states, head).float()
