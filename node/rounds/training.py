"""Start the local trainer in another process and lead it; this process never loads what the trainer needs.

The trainer is looked after every second: while a pupil is answered it stands still, and where the school's rule or the
PC's state says so it ends with a checkpoint (`node.rounds.eligibility`).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils import timezone

from federation.errors import CapacityError, TransportError
from node.children import child_environment
from node.rounds.eligibility import Hindrance, Pace, pace_of, running_hindrance
from node.rounds.learning_settings import learning_rule_read
from node.rounds.pc_state import pc_measure
from node.rounds.trainer import TRAINER_ENVIRONMENT, TRAINER_MODULE

NEEDED_PACKAGES = ("torch", "transformers", "onnx", "tokenizers")
# The trainer's status when it was asked to end and has left a checkpoint.
STOPPED_STATUS = 75
# A trainer that was killed by the kernel for want of memory, or with the PC, goes on from its checkpoint as well.
CUT_STATUSES = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP})
LOOK_SECONDS = 1.0
LOG_TAIL_CHARACTERS = 300
_log = logging.getLogger(__name__)


class TrainingStopped(TransportError):
    """The trainer was asked to end, or cut off; its checkpoint is kept. `reason` says by what."""

    code = "training_stopped"


class TrainingFailed(CapacityError):
    """The trainer ended badly; `log` is the file that says why, `reason` its last line."""

    code = "training_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """The trainer's arguments, and whether a person asked for the training."""

    root: Path
    package: Path
    plan: Path
    labels: Path
    start: Path | None
    key: Path
    node_id: str
    counter: int
    out: Path
    log: Path
    is_asked: bool


class Leash:
    """Holds a running trainer: lets it go, makes it stand still, or asks it to end."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self.is_waiting = False
        self.stopped_by: Hindrance | None = None

    def follow(self, hindrance: Hindrance | None) -> None:
        """Do what the hindrance demands; once asked to end, the trainer is not asked again."""
        if self.stopped_by is not None:
            return
        pace = pace_of(hindrance)
        if pace is Pace.STOP:
            self.stopped_by = hindrance
            self.end()
        elif (pace is Pace.WAIT) != self.is_waiting:
            self.is_waiting = not self.is_waiting
            self._child.send_signal(signal.SIGSTOP if self.is_waiting else signal.SIGCONT)
            _log.info("learning %s", "makes way for a chat" if self.is_waiting else "goes on")

    def end(self) -> None:
        """Ask the trainer to leave a checkpoint and end; one that stands still hears nothing, so it is let go first."""
        self._child.terminate()
        self._child.send_signal(signal.SIGCONT)
        self.is_waiting = False


def can_train() -> bool:
    """Return whether this PC has what learning needs; looks for the packages without loading them."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED_PACKAGES)


def hindrance_now(order: TrainingOrder, *, is_waiting: bool) -> Hindrance | None:
    """Return why the training must not go on at this moment, or None."""
    state = pc_measure(root=order.root, now=timezone.now())
    return running_hindrance(learning_rule_read(), state, is_asked=order.is_asked, is_waiting=is_waiting)


def training_run(
    order: TrainingOrder,
    *,
    hindrance: Callable[..., Hindrance | None] = hindrance_now,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Leave a signed update file at `order.out`; what the trainer said is appended to `order.log`.

    Raises:
        TrainingStopped: the trainer was asked to end, or cut off, and its checkpoint is beside `order.out`.
        TrainingFailed: the trainer ended with another status than 0, or without the file.
    """
    order.log.parent.mkdir(parents=True, exist_ok=True)
    with order.log.open("ab") as log:
        start = log.tell()
        status, stopped_by = _child_await(order, log, hindrance, sleep)
    if status == STOPPED_STATUS or status in CUT_STATUSES:
        raise TrainingStopped(reason=stopped_by.value if stopped_by else "cut")
    if status != 0 or not order.out.is_file():
        raise TrainingFailed(status=status, log=str(order.log), reason=_reason(order.log, start))


def _child_await(
    order: TrainingOrder,
    log: BinaryIO,
    hindrance: Callable[..., Hindrance | None],
    sleep: Callable[[float], None],
) -> tuple[int, Hindrance | None]:
    """Return the trainer's status and what stopped it; when this process must end meanwhile, so must the trainer."""
    environment = child_environment(order.root) | TRAINER_ENVIRONMENT
    with subprocess.Popen(
        trainer_argv(order), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
    ) as child:
        leash = Leash(child)
        try:
            while (status := child.poll()) is None:
                leash.follow(hindrance(order, is_waiting=leash.is_waiting))
                sleep(LOOK_SECONDS)
        except BaseException:
            leash.end()
            raise
        return status, leash.stopped_by


def trainer_argv(order: TrainingOrder) -> list[str]:
    """Return the trainer's command line."""
    start = [] if order.start is None else ["--start", str(order.start)]
    return [
        *(sys.executable, "-m", TRAINER_MODULE),
        *("--package", str(order.package), "--plan", str(order.plan), "--labels", str(order.labels)),
        *("--key", str(order.key), "--node-id", order.node_id, "--counter", str(order.counter)),
        *("--out", str(order.out), "--with-parent"),
        *start,
    ]


def _reason(log: Path, start: int) -> str:
    """Return the code that the trainer ended with, or its last line when it ended without one."""
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else ""
    try:
        return str(json.loads(last)["code"])
    except (ValueError, KeyError, TypeError):
        return last[-LOG_TAIL_CHARACTERS:]
