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

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from federation.adapter_file import adapter_read
from federation.basis import AdapterFactors
from federation.learning.adapted_model import SlotAdapter, adapter_attach
from federation.learning.answers import answer_nats
from federation.learning.chat import Conversation, ConversationTokenizer
from federation.learning.lessons import conversation_make
from federation.learning.onnx_base import onnx_base_load
from federation.learning.precision import dtype_fastest
from federation.learning.probe_task import ProbeTask, Tried, TriedUpdate
from federation.learning.schemes.contribution import Arrays
from federation.learning.stored_update import StoredArrays
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.rounds import Factor, RoundPlan


def main(argv: Sequence[str] | None = None) -> None:
    """Write what the command line asks for."""
    arguments = _parser().parse_args(argv)
    torch.set_num_threads(arguments.threads)
    plan = parse(RoundPlan, arguments.plan.read_bytes())
    task = parse(ProbeTask, arguments.task.read_bytes())
    start = None if arguments.start is None else adapter_read(arguments.start, base_digest=plan.base).factors
    tokenizer = ConversationTokenizer(arguments.package / "tokenizer.json.gz")
    conversations = [conversation_make(tokenizer, each.prompt, each.answer) for each in task.corrections]
    model = onnx_base_load(arguments.package, dtype=dtype_fastest())
    for tried in updates_try(model=model, plan=plan, start=start, corrections=conversations, updates=task.updates):
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m federation.learning.probe", description=__doc__.splitlines()[0])
    for name, what in (
        ("package", "folder of the season's base"),
        ("plan", "RoundPlan of the season as JSON"),
        ("task", "ProbeTask as JSON"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--start", type=Path, help="adapter file of the season's newest release, if there is one")
    parser.add_argument("--threads", type=int, default=2)
    return parser


if __name__ == "__main__":
    main()
