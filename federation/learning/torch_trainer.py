"""Train a school's factors B on a frozen base: the same plan, examples and machine give the same bytes, cut or not.

Each step looks at up to `OWN_A_STEP` of the school's examples and `ANCHORS_A_STEP` of the plan's anchors, in a fixed
rotation. B starts at zero, moves by Adam, and never leaves the ball of radius `max_norm` that the centre would clip it
to, so that what was measured here is what is sent. A checkpoint holds all that the next step depends on.
"""

from __future__ import annotations

import io
import logging
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from federation.learning.chat import Conversation
from federation.learning.gram import grams_measure
from federation.learning.objective import Target, answer_nats, answer_states, loss_accumulate
from federation.trust.durable import durable_write
from federation.wire.rounds import RoundPlan

OWN_A_STEP = 8
ANCHORS_A_STEP = 4
ANCHOR_PULL = 0.5
"""Weight of the anchors' mean cross-entropy against that of the school's own examples."""
ANCHOR_HOLD = 1.0
"""Weight of the anchors' mean divergence from the base's own predictions; measured, see docs/decisions."""
ADAM_DECAYS = (0.9, 0.99)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step saw before it moved B: mean nats a token, and the L2 norm of all B."""

    step: int
    own_nats: float
    anchor_nats: float
    norm: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended; with `is_finished` False it was asked to stop and left a checkpoint."""

    is_finished: bool
    steps: int
    nats_before: float
    nats_after: float


class Training:
    """One school's training for one plan: `factors` are the B of the adapted `model`, by slot."""

    def __init__(
        self,
        *,
        model: Any,  # noqa: ANN401 - transformers is untyped
        factors: Mapping[str, nn.Parameter],
        plan: RoundPlan,
        own: Sequence[Conversation],
        anchors: Sequence[Conversation],
        identity: str,
        checkpoint: Path,
    ) -> None:
        """Continue from `checkpoint` if it is of this `identity` (whatever decides the result), else start at zero.

        The factors must be zero: the base's own predictions on the anchors are taken first.
        """
        self._model, self._factors, self._plan = model, factors, plan
        self._own, self._identity, self._path = own, identity, checkpoint
        self._anchors = [Target(c, ANCHOR_PULL, ANCHOR_HOLD, _base_states(model, c)) for c in anchors]
        self._optimiser = torch.optim.Adam(factors.values(), lr=plan.learning_rate, betas=ADAM_DECAYS, foreach=False)
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
            if len(self._history) >= self._steps_a_pass() and self._recent() <= self._plan.stop_loss:
                return self._outcome(is_finished=True, nats_after=self._recent())
            self._move()
            if self._step % checkpoint_steps == 0:
                self._save()
        nats = answer_nats(self._model, self._own)
        return self._outcome(is_finished=True, nats_after=sum(nats) / len(nats))

    @property
    def steps(self) -> int:
        """How often B has moved so far."""
        return self._step

    def factors_numpy(self) -> dict[str, NDArray[np.float32]]:
        """Return B by slot, float32 (rank, d_out)."""
        return {slot: factor.detach().numpy() for slot, factor in self._factors.items()}

    def grams(self) -> dict[str, NDArray[np.float32]]:
        """Return the Gram matrix (rank, rank) of the school's own examples by slot, under B as it is now."""
        return grams_measure(self._model, self._factors, self._own)

    def norm(self) -> float:
        """Return the L2 norm of all B taken as one vector."""
        return math.sqrt(sum(float(factor.detach().double().square().sum()) for factor in self._factors.values()))

    def checkpoint_remove(self) -> None:
        """Forget the checkpoint: what it led to is safe elsewhere."""
        self._path.unlink(missing_ok=True)

    def _measure(self) -> StepReport:
        """Take the gradient of this step's loss and report it."""
        self._optimiser.zero_grad(set_to_none=True)
        own = _rotation(self._own, self._step, OWN_A_STEP)
        anchors = _rotation(self._anchors, self._step, ANCHORS_A_STEP)
        targets = [Target(conversation, 1 / len(own)) for conversation in own]
        targets += [
            Target(a.conversation, a.pull / len(anchors), a.hold / len(anchors), a.base_states) for a in anchors
        ]
        nats = loss_accumulate(self._model, targets)
        self._history.append(sum(nats[: len(own)]) / len(own))
        anchor_nats = sum(nats[len(own) :]) / len(anchors) if anchors else 0.0
        return StepReport(self._step, self._history[-1], anchor_nats, self.norm())

    def _move(self) -> None:
        self._optimiser.step()
        self._step += 1
        norm = self.norm()
        if norm > self._plan.max_norm:
            with torch.no_grad():
                for factor in self._factors.values():
                    factor.mul_(self._plan.max_norm / norm)

    def _steps_a_pass(self) -> int:
        return math.ceil(len(self._own) / OWN_A_STEP)

    def _recent(self) -> float:
        """Return the mean nats of the last full pass over the school's own examples, as seen step by step."""
        recent = self._history[-self._steps_a_pass() :]
        return sum(recent) / len(recent) if recent else math.inf

    def _outcome(self, *, is_finished: bool, nats_after: float) -> Outcome:
        first = self._history[: self._steps_a_pass()]
        before = sum(first) / len(first) if first else math.inf
        return Outcome(is_finished=is_finished, steps=self._step, nats_before=before, nats_after=nats_after)

    def _save(self) -> None:
        state = {
            "identity": self._identity,
            "step": self._step,
            "history": self._history,
            "factors": {slot: factor.detach() for slot, factor in self._factors.items()},
            "optimiser": self._optimiser.state_dict(),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        durable_write(self._path, stream.getvalue(), mode=0o600)

    def _restore(self) -> None:
        state = _checkpoint_read(self._path)
        if state is None or state["identity"] != self._identity:
            return
        self._step, self._history = state["step"], state["history"]
        self._optimiser.load_state_dict(state["optimiser"])
        with torch.no_grad():
            for slot, factor in self._factors.items():
                factor.copy_(state["factors"][slot])


def _checkpoint_read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        # A damaged checkpoint costs the steps it held, never the round.
        _log.warning("checkpoint %s is unreadable, training starts over: %s", path, type(error).__name__)
        return None
    return state


def _rotation(items: Sequence[Any], step: int, count: int) -> list[Any]:
    """Return the `count` of `items` whose turn it is at `step`, all of them where there are no more."""
    if len(items) <= count:
        return list(items)
    first = step * count
    return [items[(first + offset) % len(items)] for offset in range(count)]


def _base_states(model: Any, conversation: Conversation) -> torch.Tensor:  # noqa: ANN401 - transformers is untyped
    with torch.no_grad():
        return answer_states(model, [conversation])[0].clone()
