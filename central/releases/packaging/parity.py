"""Compares what the package expects with what the float32 reference expects, token by token, on the same text.

At each position the two distributions over the whole vocabulary are compared by their divergence (nats), at the end of
a short text and of one longer than the sliding window, where a wrong attention mask would show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.inference.package import Parity
from federation.inference.prompt import ChatTokenizer

POSITIONS = 32
SHORT_TOKENS = 96
PAST_WINDOW_TOKENS = 128

# Of token ids and how many of the last ones count, the logits float32 (n, vocabulary) after each of those.
Logits = Callable[[Sequence[int], int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Probe:
    """One text to compare on; `ids` begin with BOS."""

    language: str
    length: str
    ids: tuple[int, ...]


def probes_make(
    tokenizer: ChatTokenizer, texts: Mapping[str, str], *, context_tokens: int, window_tokens: int
) -> list[Probe]:
    """Return a short probe for each of `texts`, by language, and one that is longer than the sliding window.

    None is longer than the context.
    """
    probes, long_tokens = [], window_tokens + PAST_WINDOW_TOKENS
    for language, text in texts.items():
        ids = (tokenizer.bos, *tokenizer.words(text))
        for length, tokens in (("short", SHORT_TOKENS), ("long", long_tokens)):
            probes.append(Probe(language, length, ids[: min(tokens, context_tokens)]))
    return probes


def log_probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 (n, vocabulary) natural-log probabilities."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normaliser: NDArray[np.float32] = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted - normaliser


def renumbered(logits: Logits, old_ids: NDArray[np.int64]) -> Logits:
    """Return `logits` for ids before a renumbering, in which word `old_ids[i]` became word i."""
    new_ids = np.argsort(old_ids)
    return lambda ids, last: logits(new_ids[list(ids)].tolist(), last)[:, new_ids]


def parity_measure(
    probes: Sequence[Probe], *, reference: Sequence[NDArray[np.float32]], shipped: Logits
) -> dict[str, Parity]:
    """Return the parity of each language; `reference` holds the log-probabilities at the end of each probe."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for probe, expected in zip(probes, reference, strict=True):
        got = log_probabilities(shipped(probe.ids, len(expected)))
        divergence = float((np.exp(expected) * (expected - got)).sum(axis=-1).mean())
        agreement = float((expected.argmax(axis=-1) == got.argmax(axis=-1)).mean())
        found.setdefault(probe.language, {})[probe.length] = (divergence, agreement)
    return {
        language: Parity(
            divergence_short=by_length["short"][0],
            divergence_long=by_length["long"][0],
            agreement=(by_length["short"][1] + by_length["long"][1]) / 2,
        )
        for language, by_length in found.items()
    }
