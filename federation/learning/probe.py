"""Try updates on corrections that the centre knows: `python -m federation.learning.probe`.

One natural step of a school is as long as the wire allows and lies at a right angle to the others', so neither length
nor direction tells a poisoned one in a small round (0046). What tells it is what it does: an update is put on the model
that the season has come to, and the loss of corrections before and after is compared. Those of its own school it was
made to lower; others' it should at least leave where they were.

A line on standard output is one update's outcome, as soon as it is known. A process of its own: torch and the base do
not stay in a worker's memory.

Source: Xie et al. 2019, "Zeno: Distributed stochastic gradient descent with suspicion-based fault-tolerance", for
judging an update by the loss that it leads to; here on words whose meaning for this update is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from federation.basis import AdapterFactors
from federation.learning.adapted_model import SlotAdapter, adapter_attach
from federation.learning.answers import answer_nats
from federation.learning.centre_process import process_parser, season_load
from federation.learning.chat import Conversation
from federation.learning.lessons import conversation_make
from federation.learning.probe_task import ProbeTask, Tried, TriedUpdate
from federation.learning.schemes.contribution import Arrays
from federation.learning.stored_update import StoredArrays
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.rounds import Factor, RoundPlan


def main(argv: Sequence[str] | None = None) -> None:
    """Write what the command line asks for."""
    files = {"task": "ProbeTask as JSON"}
    arguments = process_parser("federation.learning.probe", __doc__.splitlines()[0], files).parse_args(argv)
    season, task = season_load(arguments), parse(ProbeTask, arguments.task.read_bytes())
    corrections = [conversation_make(season.tokenizer, each.prompt, each.answer) for each in task.corrections]
    for tried in updates_try(
        model=season.model, plan=season.plan, start=season.start, corrections=corrections, updates=task.updates
    ):
        sys.stdout.write(canonical_bytes(tried).decode() + "\n")
        sys.stdout.flush()


def updates_try(
    *,
    model: Any,  # noqa: ANN401 - transformers is untyped
    plan: RoundPlan,
    start: AdapterFactors | None,
    corrections: Sequence[Conversation | None],
    updates: Sequence[TriedUpdate],
) -> Iterator[Tried]:
    """Yield what each of `updates` gains on its corrections, over the adapter `start`; None has no answer to learn.

    `model` is the bare base, and has the adapter attached afterwards. Of the plan only what all plans of its season
    have in common is looked at. An update whose file is gone is passed over.

    Raises:
        MalformedUpdate, MalformedDocument: a file is no longer an update.
    """
    adapters = adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=start)
    before = _nats(model, dict(enumerate(corrections)))
    for update in updates:
        try:
            _put(adapters, StoredArrays(Path(update.path), precision=plan.precision))
        except FileNotFoundError:
            # Its school has withdrawn meanwhile.
            continue
        after = _nats(model, {place: corrections[place] for place in update.places})
        gains = tuple(before[place] - after[place] if place in after else 0.0 for place in update.places)
        yield Tried(digest=update.digest, gains=gains)


def _nats(model: Any, corrections: Mapping[int, Conversation | None]) -> dict[int, float]:  # noqa: ANN401 - as above
    kept = {place: each for place, each in corrections.items() if each is not None}
    return dict(zip(kept, answer_nats(model, list(kept.values())), strict=True))


@torch.no_grad()
def _put(adapters: Mapping[str, SlotAdapter], arrays: Arrays) -> None:
    for slot, adapter in adapters.items():
        for name, delta in adapter.deltas.items():
            delta.copy_(torch.from_numpy(arrays[slot, Factor(name)]))


if __name__ == "__main__":
    main()
