"""One base in memory: every school's training and every adapter's examination happen on it, one after another."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from central.training.hold import PROSE_FILE
from federation.basis import AdapterFactors, SlotSize
from federation.inference.package import package_open
from federation.learning.adapted_model import AdaptedLinear, SlotAdapter, adapter_attach
from federation.learning.answers import answer_nats
from federation.learning.chat import Conversation, ConversationTokenizer
from federation.learning.hold import hold_measure, passages_read
from federation.learning.lessons import Lessons, anchors_make, lessons_make
from federation.learning.onnx_base import onnx_base_load
from federation.learning.schemes.contribution import Arrays
from federation.learning.torch_trainer import Training
from federation.learning.update import update_write
from federation.trust.keys import NodeKey
from federation.wire.rounds import Objective, RoundPlan, SchemeName
from tests.benchmarks.labels.label_set import Label
from tests.benchmarks.learning.schools import teacher_labels

PIECE_TOKENS = 300
MADE_AT = datetime(2026, 1, 5, tzinfo=UTC)
"""Written into every update, so that the same training makes the same header."""
_EXAMINED = Objective(preference=0.0, ratings=0.0, beta=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How held-out labels fare under a model; nats are the mean a token of what teachers want said."""

    nats: float
    preferred: float
    """Share of the corrections found likelier, a token, than the answer they correct; as a whole the shorter wins."""


class Base:
    """The package's base as schools train on it."""

    def __init__(self, package: Path, *, dtype: torch.dtype, key: NodeKey, work: Path) -> None:
        """Read the package; `work` is a folder for checkpoints, which no one reads again."""
        torch.use_deterministic_algorithms(mode=True)
        self._model: Any = onnx_base_load(package, dtype=dtype)
        self._tokenizer = ConversationTokenizer(package / "tokenizer.json.gz")
        self._key, self._work = key, work
        self.sizes: Mapping[str, SlotSize] = {
            slot.name: SlotSize(slot.d_in, slot.d_out) for slot in package_open(package).slots
        }
        self.digest = _digest(package, dtype)

    def learn(
        self,
        *,
        plan: RoundPlan,
        start: AdapterFactors | None,
        labels: Sequence[Label],
        name: str,
    ) -> bytes:
        """Return the signed update of a school that learns its `labels` from `start`."""
        lessons = lessons_make(teacher_labels(labels), tokenizer=self._tokenizer, objective=plan.objective)
        with self._adapted(plan, plan.scheme, start) as adapters:
            training = Training(
                model=self._model,
                adapters=adapters,
                plan=plan,
                lessons=lessons,
                anchors=anchors_make(plan.anchors, tokenizer=self._tokenizer),
                identity="",
                checkpoint=self._work / "checkpoint.pt",
            )
            return self._update(plan, name, training, lessons)

    def hold(self, plan: RoundPlan, start: AdapterFactors | None) -> Arrays:
        """Return the centre's own part of a round that goes on from `start`."""
        passages = passages_read(PROSE_FILE, tokenizer=self._tokenizer)
        try:
            return hold_measure(model=self._model, plan=plan, start=start, passages=passages)
        finally:
            _bare(self._model)

    def examine(self, *, plan: RoundPlan, adapter: AdapterFactors | None, labels: Sequence[Label]) -> Scores:
        """Return how held-out `labels` fare under `adapter`, or under the base alone."""
        held = teacher_labels(labels, is_held_out=True)
        lessons = lessons_make(held, tokenizer=self._tokenizer, objective=_EXAMINED)
        pairs = [(lesson.wanted, lesson.given) for lesson in lessons.held_out if lesson.given is not None]
        with self._adapted(plan, SchemeName.FFA_LORA, adapter):
            wanted = answer_nats(self._model, [more for more, _ in pairs])
            given = answer_nats(self._model, [less for _, less in pairs])
        preferred = sum(more < less for more, less in zip(wanted, given, strict=True))
        return Scores(nats=sum(wanted) / len(pairs), preferred=preferred / len(pairs))

    def perplexity(self, *, plan: RoundPlan, adapter: AdapterFactors | None, text: str) -> float:
        """Return the perplexity of `text` under `adapter`, in pieces as the gate has it."""
        ids = self._tokenizer.words(text)
        pieces = [ids[first : first + PIECE_TOKENS] for first in range(0, len(ids), PIECE_TOKENS)]
        with self._adapted(plan, SchemeName.FFA_LORA, adapter):
            bos = self._tokenizer.question("")[0]
            nats = answer_nats(self._model, [Conversation((bos, *piece), 1) for piece in pieces])
        return math.exp(sum(nats) / len(nats))

    def _update(self, plan: RoundPlan, name: str, training: Training, lessons: Lessons) -> bytes:
        outcome = training.run(
            checkpoint_steps=plan.max_steps + 1, on_step=lambda step: None, should_stop=lambda: False
        )
        return update_write(
            plan=plan,
            node_id=name,
            counter=1,
            labels=lessons.count,
            steps=outcome.steps,
            loss_before=outcome.nats_before,
            loss_after=outcome.nats_after,
            arrays=training.arrays() | training.grams(),
            made_at=MADE_AT,
            key=self._key,
        )

    @contextmanager
    def _adapted(
        self, plan: RoundPlan, scheme: SchemeName, start: AdapterFactors | None
    ) -> Iterator[dict[str, SlotAdapter]]:
        """Attach the plan's adapter for as long as the block lasts; afterwards the model is the bare base again."""
        try:
            yield adapter_attach(
                self._model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=scheme, start=start
            )
        finally:
            _bare(self._model)


def _bare(model: torch.nn.Module) -> None:
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, AdaptedLinear):
                setattr(owner, name, child.base)


def _digest(package: Path, dtype: torch.dtype) -> str:
    whole = hashlib.sha256(str(dtype).encode())
    for path in sorted(package.iterdir()):
        with path.open("rb") as stream:
            whole.update(path.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()
