"""The training loss: what teachers want said is pulled at, preferred, or held where it was.

Each part of the loss is a function of the log-probabilities of answers' tokens, and of those every gradient at the
hidden states is known in closed form (`federation.learning.answers`). So one pass through the model and one through the
words of the head give the gradient of all parts together, preferences over whole answers too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from federation.learning.answers import AnswerRead, answer_states, answers_read, batches
from federation.learning.chat import Conversation


class Term(Protocol):
    """A part of the loss; its conversations go through the model together, the wanted answer first."""

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Return one or two conversations."""

    def gradients(self, reads: Sequence[AnswerRead]) -> list[torch.Tensor]:
        """Return the loss's gradient at the hidden states of each conversation's answer, as it is read."""


@dataclass(frozen=True, slots=True, eq=False)
class Pulled:
    """`pull` times the mean cross-entropy of an answer's tokens.

    Where `base_mean` is given, the head's mean row under what the base predicted at each of them, (n, hidden), `hold`
    times the mean divergence from that prediction is added.
    """

    conversation: Conversation
    pull: float
    hold: float = 0.0
    base_mean: torch.Tensor | None = None

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Return the one."""
        return (self.conversation,)

    def gradients(self, reads: Sequence[AnswerRead]) -> list[torch.Tensor]:
        """Return the gradient at the answer's states."""
        (read,) = reads
        gradient = read.rise * (-self.pull / len(read.rise))
        if self.base_mean is not None:
            # KL(base, ours) = logsumexp of ours - ours at the base's mean row + what does not change.
            gradient += (read.mean - self.base_mean) * (self.hold / len(read.rise))
        return [gradient]


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """`pull` as above for the `wanted` answer, and `weight` times the loss of not preferring it to the `given` one.

    `reference` is log p(wanted) - log p(given) at the start of the training.

    Source: Rafailov et al. 2023, "Direct preference optimization", equation 7.
    """

    wanted: Conversation
    given: Conversation
    pull: float
    weight: float
    beta: float
    reference: float

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Return both, the wanted one first."""
        return (self.wanted, self.given)

    def gradients(self, reads: Sequence[AnswerRead]) -> list[torch.Tensor]:
        """Return the gradients at both answers' states."""
        wanted, given = reads
        margin = float(wanted.logprobs.double().sum() - given.logprobs.double().sum()) - self.reference
        slope = self.weight * self.beta * _sigmoid(-self.beta * margin)
        return [wanted.rise * (-slope - self.pull / len(wanted.rise)), given.rise * slope]


@dataclass(frozen=True, slots=True, eq=False)
class Rated:
    """`weight` times the loss of an answer that a teacher found good or bad without writing a better one.

    `reference` is log p of the answer at the start of the training, `drift` how far the model has moved from there on
    other answers: 0 or more, nats.

    Source: Ethayarajh et al. 2024, "KTO: model alignment as prospect theoretic optimization", equation 8.
    """

    conversation: Conversation
    is_good: bool
    weight: float
    beta: float
    reference: float
    drift: float

    @property
    def conversations(self) -> tuple[Conversation, ...]:
        """Return the one."""
        return (self.conversation,)

    def gradients(self, reads: Sequence[AnswerRead]) -> list[torch.Tensor]:
        """Return the gradient at the answer's states."""
        (read,) = reads
        gain = float(read.logprobs.double().sum()) - self.reference
        value = _sigmoid(self.beta * (gain - self.drift))
        slope = self.weight * self.beta * value * (1 - value)
        return [read.rise * (-slope if self.is_good else slope)]


def loss_accumulate(model: Any, terms: Sequence[Term]) -> list[float]:  # noqa: ANN401 - transformers is untyped
    """Add the gradient of the terms' summed loss to the model's parameters.

    Return for each the mean nats a token of its first conversation.
    """
    nats: list[float] = []
    for batch in batches(terms):
        conversations = [each for term in batch for each in term.conversations]
        states = answer_states(model, conversations)
        reads = iter(answers_read(model, conversations, states))
        gradients: list[torch.Tensor] = []
        for term in batch:
            own = [next(reads) for _ in term.conversations]
            nats.append(-float(own[0].logprobs.mean()))
            gradients += term.gradients(own)
        torch.autograd.backward(states, [each.to(states[0].dtype) for each in gradients])
    return nats


def _sigmoid(x: float) -> float:
    # The other form overflows on the other side.
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
