"""Measures, on a calibration text, what each matrix meets and how much the loss feels an error of its output.

One pass forwards and backwards through the float checkpoint. An error E of a matrix W (out, in) is then predicted to
raise the mean loss by half the sum over outputs o of gains[o] * E[o] moments E[o]ᵀ. The head is the embedding too: an
error of a word's row is also felt each time that the word is read.

Source: the Kronecker-factored Fisher information (Martens and Grosse 2015), its output side cut to the diagonal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from central.releases.packaging.parts import HEAD_PART

_PROJECTION = re.compile(r"model\.layers\.(\d+)\.(?:self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj")


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """Of one matrix: `moments` is the mean of x xᵀ, float32 (in, in); `gains` is the mean squared slope, (out,).

    Of the embedding besides: how likely each word is to come, (out,), and the mean squared slope at a word that is
    read, (in,), with its scale.
    """

    moments: NDArray[np.float32]
    gains: NDArray[np.float32]
    word_shares: NDArray[np.float32] | None = None
    word_slopes: NDArray[np.float32] | None = None

    def losses(self, error: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return, for each output, the predicted rise of the loss in nats a token by an error (out, in)."""
        losses: NDArray[np.float32] = 0.5 * self.gains * np.einsum("oi,oi->o", error @ self.moments, error)
        if self.word_shares is None or self.word_slopes is None:
            return losses
        losses += 0.5 * self.word_shares * (np.square(error) @ self.word_slopes)
        return losses

    def rows(self, chosen: NDArray[np.int64]) -> Sensitivity:
        """Return the sensitivity of the `chosen` outputs alone."""
        shares = None if self.word_shares is None else self.word_shares[chosen]
        return Sensitivity(self.moments, self.gains[chosen], shares, self.word_slopes)


def sensitivity_measure(
    checkpoint: Path,
    *,
    texts: Sequence[Sequence[int]],
    shares: Sequence[NDArray[np.float32]],
    progress: Callable[[float], None],
) -> dict[str, Sensitivity]:
    """Return the sensitivity of every matrix of the prepared folder `checkpoint` on texts of token ids.

    `shares` (words,) say how often words come in languages; they count as much as what the model expects in its texts.

    Names are those of the serving graph's parts: `layers.3.qkv` (the rows of q, k and v one after another), `head`.
    """
    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)  # nosec B615 # a folder
    model.requires_grad_(requires_grad=False)
    sums = {name: _Sums(module) for name, module in model.named_modules() if _part(name)}
    words_read = _WordSums(model.config.vocab_size, model.config.hidden_size)
    for done, text in enumerate(texts, start=1):
        piece = torch.tensor([list(text)])
        words = model.model.embed_tokens(piece).requires_grad_()
        logits = model(inputs_embeds=words, use_cache=False).logits[0, :-1]
        functional.cross_entropy(logits, piece[0, 1:], reduction="sum").backward()
        words_read.see(logits.detach(), words.grad[0])
        progress(done / len(texts))
    found = _together({name: each.mean() for name, each in sums.items()})
    return found | {HEAD_PART: words_read.added_to(found[HEAD_PART], shares)}


class _WordSums:
    """How often each word is expected, and what the loss feels of the words that are read."""

    def __init__(self, words: int, hidden: int) -> None:
        self._expected = torch.zeros(words)
        self._slopes = torch.zeros(hidden)
        self._tokens = 0

    def see(self, logits: torch.Tensor, slopes: torch.Tensor) -> None:
        """Take in the logits (n, words) of a text and the slopes (n + 1, hidden) at its words."""
        self._expected += torch.softmax(logits, dim=-1).sum(dim=0)
        self._slopes += slopes.square().sum(dim=0)
        self._tokens += len(logits)

    def added_to(self, head: Sensitivity, shares: Sequence[NDArray[np.float32]]) -> Sensitivity:
        """Return the head's sensitivity with what an error of its rows does as an embedding."""
        expected = (self._expected / self._tokens).numpy()
        common: NDArray[np.float32] = np.mean([expected, *shares], axis=0, dtype=np.float32)
        # A word is read multiplied by the square root of the hidden size, so a squared error by the size itself.
        slopes = self._slopes / self._tokens * len(self._slopes)
        # A word that comes unexpected has a slope of nearly one, so the mean square of its slopes is near its share.
        gains = np.maximum(head.gains, common)
        return replace(head, gains=gains, word_shares=common, word_slopes=slopes.numpy())


class _Sums:
    """What goes through one projection."""

    def __init__(self, module: nn.Linear) -> None:
        self._moments = torch.zeros(module.in_features, module.in_features)
        self._slopes = torch.zeros(module.out_features)
        self._tokens = 0
        module.register_forward_pre_hook(self._see_input)
        module.register_full_backward_hook(self._see_slope)

    def mean(self) -> Sensitivity:
        """Return the means over all tokens seen."""
        return Sensitivity((self._moments / self._tokens).numpy(), (self._slopes / self._tokens).numpy())

    def _see_input(self, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].detach().flatten(0, -2)
        self._moments.addmm_(x.T, x)
        self._tokens += len(x)

    def _see_slope(self, _module: nn.Module, _inputs: Any, slopes: tuple[torch.Tensor, ...]) -> None:  # noqa: ANN401 - torch's signature
        self._slopes += slopes[0].flatten(0, -2).square().sum(dim=0)


def _part(name: str) -> str:
    if name == "lm_head":
        return HEAD_PART
    match = _PROJECTION.fullmatch(name)
    return f"layers.{match[1]}.{'qkv' if match[2] in 'qkv' else match[2]}" if match else ""


def _together(found: dict[str, Sensitivity]) -> dict[str, Sensitivity]:
    """Return one sensitivity a part; q, k and v read the same inputs."""
    parts: dict[str, list[Sensitivity]] = {}
    for name, sensitivity in found.items():
        parts.setdefault(_part(name), []).append(sensitivity)
    return {
        part: Sensitivity(members[0].moments, np.concatenate([member.gains for member in members]))
        for part, members in parts.items()
    }
