"""Train what a plan's scheme lets a school learn: the same plan, lessons and machine give the same bytes, cut or not.

Each step looks at the school's corrections, its other ratings and the plan's anchors, all of them or some in a fixed
rotation (`federation.learning.step_terms`). The deltas start at zero, move as `federation.learning.local_steps` says,
and never leave the ball of radius `max_norm` that the centre would clip them to, so that what was measured here is what
is sent. A checkpoint holds all that the next step depends on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from federation.learning.adapted_model import SlotAdapter
from federation.learning.answers import answer_nats
from federation.learning.chat import Conversation
from federation.learning.checkpoint import checkpoint_read, checkpoint_write
from federation.learning.gram import grams_measure
from federation.learning.lessons import Lessons
from federation.learning.local_scores import fare_measure, scores_of
from federation.learning.local_steps import AdamSteps, LocalSteps, NaturalSteps
from federation.learning.objective import loss_accumulate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.step_terms import StepTerms
from federation.wire.rounds import Factor, LocalScores, RoundPlan


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step saw before it moved: mean nats a token, and the L2 norm of all that is learnt."""

    step: int
    own_nats: float
    anchor_nats: float
    norm: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended; with `is_finished` False it was asked to stop and left a checkpoint.

    The nats are 0 where the school has only said which answers are bad.
    """

    is_finished: bool
    steps: int
    nats_before: float
    nats_after: float


class Training:
    """One school's training for one plan: the deltas of `adapters`, by slot, learn."""

    def __init__(
        self,
        *,
        model: Any,  # noqa: ANN401 - transformers is untyped
        adapters: Mapping[str, SlotAdapter],
        plan: RoundPlan,
        lessons: Lessons,
        anchors: Sequence[Conversation],
        identity: str,
        checkpoint: Path,
    ) -> None:
        """Continue from `checkpoint` if it is of this `identity` (whatever decides the result), else start at zero.

        The deltas must be zero: how the model fares at the start is measured first.
        """
        self._model, self._adapters, self._plan, self._lessons = model, adapters, plan, lessons
        self._identity, self._path = identity, checkpoint
        self._terms = StepTerms(
            model=model,
            objective=plan.objective,
            lessons=lessons,
            anchors=anchors,
            takes_all=plan.longest_step > 0,
        )
        self._before = fare_measure(model, lessons.held_out)
        self._grams = self._grams_measured()
        self._steps = self._steps_begin()
        self._step = 0
        self._history: list[float] = []
        self._restore()

    def run(
        self, *, checkpoint_steps: int, on_step: Callable[[StepReport], None], should_stop: Callable[[], bool]
    ) -> Outcome:
        """Train to the plan's `stop_loss` or `max_steps`; save every `checkpoint_steps` steps and when told to stop."""
        while self._step < self._plan.max_steps:
            if should_stop():
                self._save()
                return self._outcome(is_finished=False, nats_after=self._recent())
            on_step(self._measure())
            if self._is_learnt():
                return self._outcome(is_finished=True, nats_after=self._recent())
            self._move()
            if self._step % checkpoint_steps == 0:
                self._save()
        nats = answer_nats(self._model, self._lessons.wanted)
        return self._outcome(is_finished=True, nats_after=_mean(nats))

    @property
    def steps(self) -> int:
        """How often the deltas have moved so far."""
        return self._step

    def arrays(self) -> dict[tuple[str, Factor], NDArray[np.float32]]:
        """Return the deltas, float32, by slot and factor."""
        return {name: delta.detach().numpy() for name, delta in self._deltas()}

    def grams(self) -> dict[tuple[str, Factor], NDArray[np.float32]]:
        """Return by slot the weighted Gram matrix (rank, rank) of the lessons at the start; see `gram`."""
        return self._grams

    def scores(self) -> LocalScores | None:
        """Return how the held-out labels fared before and fare now; None without any."""
        after = fare_measure(self._model, self._lessons.held_out)
        return scores_of(labels=len(self._lessons.held_out), before=self._before, after=after)

    def norm(self) -> float:
        """Return the L2 norm of all deltas taken as one vector."""
        return math.sqrt(sum(float(delta.detach().double().square().sum()) for _, delta in self._deltas()))

    def checkpoint_remove(self) -> None:
        """Forget the checkpoint: what it led to is safe elsewhere."""
        self._path.unlink(missing_ok=True)

    def _grams_measured(self) -> dict[tuple[str, Factor], NDArray[np.float32]]:
        if Factor.GRAM not in scheme_of(self._plan.scheme).factors:
            return {}
        grams = grams_measure(self._model, self._adapters, self._lessons.conversations)
        return {(slot, Factor.GRAM): gram for slot, gram in grams.items()}

    def _steps_begin(self) -> LocalSteps:
        deltas = {slot: delta for (slot, _), delta in self._deltas()}
        if not self._plan.longest_step:
            return AdamSteps([delta for _, delta in self._deltas()], rate=self._plan.learning_rate)
        grams = {slot: gram for (slot, _), gram in self._grams.items()}
        return NaturalSteps(deltas, grams, ridge=self._plan.ridge, longest=self._plan.longest_step)

    def _deltas(self) -> Iterator[tuple[tuple[str, Factor], nn.Parameter]]:
        for slot, adapter in self._adapters.items():
            for factor, delta in adapter.deltas.items():
                yield (slot, Factor(factor)), delta

    def _measure(self) -> StepReport:
        """Take the gradient of this step's loss and report it."""
        self._model.zero_grad(set_to_none=True)
        corrections, rated = self._terms.corrections(self._step), self._terms.rated(self._step)
        nats = loss_accumulate(self._model, [*corrections, *rated, *self._terms.anchors(self._step)])
        own, anchors = nats[: len(corrections)], nats[len(corrections) + len(rated) :]
        if not corrections:
            own = [each for each, term in zip(nats, rated, strict=False) if term.is_good]
        if own:
            self._history.append(_mean(own))
        return StepReport(self._step, _mean(own), _mean(anchors), self.norm())

    def _move(self) -> None:
        self._steps.move()
        self._step += 1
        norm = self.norm()
        if norm > self._plan.max_norm:
            with torch.no_grad():
                for _, delta in self._deltas():
                    delta.mul_(self._plan.max_norm / norm)

    def _is_learnt(self) -> bool:
        """Tell whether a whole pass over the corrections cost no more than the plan's `stop_loss` a token."""
        is_whole = len(self._history) >= self._terms.steps_a_pass
        return bool(self._lessons.corrections) and is_whole and self._recent() <= self._plan.stop_loss

    def _recent(self) -> float:
        """Return the mean nats of the last full pass over the school's own lessons, as seen step by step."""
        return _mean(self._history[-self._terms.steps_a_pass :])

    def _outcome(self, *, is_finished: bool, nats_after: float) -> Outcome:
        before = _mean(self._history[: self._terms.steps_a_pass])
        return Outcome(is_finished=is_finished, steps=self._step, nats_before=before, nats_after=nats_after)

    def _save(self) -> None:
        state = {
            "identity": self._identity,
            "step": self._step,
            "history": self._history,
            "deltas": [delta.detach() for _, delta in self._deltas()],
            "optimiser": self._steps.state(),
        }
        checkpoint_write(self._path, state)

    def _restore(self) -> None:
        state = checkpoint_read(self._path, identity=self._identity)
        if state is None:
            return
        self._step, self._history = state["step"], state["history"]
        self._steps.restore(state["optimiser"])
        with torch.no_grad():
            for (_, delta), kept in zip(self._deltas(), state["deltas"], strict=True):
                delta.copy_(kept)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
