"""Measure the centre's own part of a round of natural steps: `python -m federation.learning.hold`.

Schools' steps add up, and so does what all of them have in common: answers grow short and sure, and everything else
that the model could say grows dearer. Against that the centre adds one part of its own, as if it were a school whose
lessons are passages of prose and whose loss is how far the season's adapter has moved their predictions from the
base's. It is a part of a natural step back along that loss's gradient, and the Gram matrix of where the passages look;
in a season's first round there is nothing to go back from, and the matrix alone stiffens what schools pull at. It
depends on the passages, the base and the adapter alone, never on what schools sent.

A process of its own: torch and the base do not stay in a worker's memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from federation.basis import AdapterFactors
from federation.learning.adapted_model import SlotAdapter, adapter_attach
from federation.learning.answers import answers_judge
from federation.learning.arrays_file import arrays_bytes
from federation.learning.centre_process import process_parser, season_load
from federation.learning.chat import Conversation, ConversationTokenizer
from federation.learning.gram import grams_measure
from federation.learning.gram_matrix import gram_scaled
from federation.learning.lessons import MAX_TOKENS
from federation.learning.local_steps import NaturalSteps
from federation.learning.objective import Pulled, loss_accumulate
from federation.learning.schemes.contribution import ArrayName, Arrays
from federation.wire.rounds import Factor, RoundPlan

PULL = 0.5
"""Share of the step back that is taken; what it costs and saves is in docs/decisions/0129."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write what the command line asks for."""
    files = {"prose": "one passage a line", "out": "new file for the arrays"}
    arguments = process_parser("federation.learning.hold", __doc__.splitlines()[0], files).parse_args(argv)
    torch.use_deterministic_algorithms(mode=True)
    season = season_load(arguments)
    passages = passages_read(arguments.prose, tokenizer=season.tokenizer)
    arrays = hold_measure(model=season.model, plan=season.plan, start=season.start, passages=passages)
    arguments.out.write_bytes(arrays_bytes(arrays))


def passages_read(path: Path, *, tokenizer: ConversationTokenizer) -> tuple[Conversation, ...]:
    """Return the passages of the text file at `path`, one a line, as token ids."""
    lines = path.read_text("utf-8").splitlines()
    return tuple(tokenizer.passage(line, max_tokens=MAX_TOKENS) for line in lines if line.strip())


def hold_measure(
    *,
    model: Any,  # noqa: ANN401 - transformers is untyped
    plan: RoundPlan,
    start: AdapterFactors | None,
    passages: Sequence[Conversation],
) -> Arrays:
    """Return the arrays of a contribution to the season of `plan`, at the adapter `start`; Gram matrices of trace rank.

    `model` is the bare base, and has the adapter attached afterwards. Of the plan only what all plans of its season
    have in common is looked at.
    """
    said = [read.mean for read in answers_judge(model, passages)]
    adapters = adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=start)
    grams = grams_measure(model, adapters, passages)
    share = PULL / len(passages)
    loss_accumulate(model, [Pulled(each, 0.0, share, mean) for each, mean in zip(passages, said, strict=True)])
    deltas = {slot: delta for slot, adapter in adapters.items() for delta in adapter.deltas.values()}
    NaturalSteps(deltas, grams, ridge=plan.ridge, longest=plan.longest_step).move()
    return _learnt(adapters) | _looked_at(adapters, grams)


def _learnt(adapters: Mapping[str, SlotAdapter]) -> dict[ArrayName, NDArray[np.float32]]:
    return {
        (slot, Factor(name)): delta.detach().numpy()
        for slot, adapter in adapters.items()
        for name, delta in adapter.deltas.items()
    }


def _looked_at(
    adapters: Mapping[str, SlotAdapter], grams: Mapping[str, NDArray[np.float32]]
) -> dict[ArrayName, NDArray[np.float32]]:
    even = {slot: np.eye(len(adapter.b), dtype=np.float32) for slot, adapter in adapters.items()}
    return {(slot, Factor.GRAM): gram_scaled(grams.get(slot, even[slot])) for slot in adapters}


if __name__ == "__main__":
    main()
