"""Start the local trainer in another process and wait for it; this process never loads what the trainer needs."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from federation.errors import CapacityError, TransportError
from node.children import child_environment

TRAINER_MODULE = "federation.learning.train"
NEEDED_PACKAGES = ("torch", "transformers", "onnx", "tokenizers")
# The trainer's status when it was asked to end and has left a checkpoint.
STOPPED_STATUS = 75
LOG_TAIL_CHARACTERS = 300
# How often a waiting thread of torch's looks again before it sleeps. By default it looks for about a millisecond, and
# whatever else runs on the PC, such as an answer to a pupil, then makes both crawl: two trainings side by side on two
# cores took 159 s, with this 58 s; one alone 28 s and 29 s.
TRAINER_ENVIRONMENT = {"GOMP_SPINCOUNT": "1000"}


class TrainingStopped(TransportError):
    """The trainer was asked to end; its checkpoint is kept."""

    code = "training_stopped"


class TrainingFailed(CapacityError):
    """The trainer ended badly; `log` is the file that says why, `reason` its last line."""

    code = "training_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """The trainer's arguments."""

    root: Path
    package: Path
    plan: Path
    examples: Path
    key: Path
    node_id: str
    counter: int
    out: Path
    log: Path


def can_train() -> bool:
    """Return whether this PC has what learning needs; looks for the packages without loading them."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED_PACKAGES)


def training_run(order: TrainingOrder) -> None:
    """Leave a signed update file at `order.out`; what the trainer said is appended to `order.log`.

    Raises:
        TrainingStopped: the trainer was asked to end and has left a checkpoint beside `order.out`.
        TrainingFailed: the trainer ended with another status than 0, or without the file.
    """
    order.log.parent.mkdir(parents=True, exist_ok=True)
    with order.log.open("ab") as log:
        start = log.tell()
        status = _child_await(order, log)
    if status == STOPPED_STATUS:
        raise TrainingStopped
    if status != 0 or not order.out.is_file():
        raise TrainingFailed(status=status, log=str(order.log), reason=_reason(order.log, start))


def _child_await(order: TrainingOrder, log: BinaryIO) -> int:
    """Return the trainer's status; when this process is asked to end meanwhile, so is the trainer."""
    environment = child_environment(order.root) | TRAINER_ENVIRONMENT
    with subprocess.Popen(
        trainer_argv(order), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
    ) as child:
        try:
            return child.wait()
        except BaseException:
            child.terminate()
            raise


def trainer_argv(order: TrainingOrder) -> list[str]:
    """Return the trainer's command line."""
    return [
        *(sys.executable, "-m", TRAINER_MODULE),
        *("--package", str(order.package), "--plan", str(order.plan), "--examples", str(order.examples)),
        *("--key", str(order.key), "--node-id", order.node_id, "--counter", str(order.counter)),
        *("--out", str(order.out)),
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
