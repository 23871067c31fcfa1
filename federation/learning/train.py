"""Train this school's update for one round plan and write it, signed: `python -m federation.learning.train`.

A door of its own, because it runs in a child process of the node: it needs the `train` extra (torch, transformers,
onnx), which the node itself never loads. Progress is one JSON object a line on standard output. Statuses: 0 the update
is written; 1 refused, and the last line names the code; 75 asked to stop by SIGTERM, and the checkpoint in `--work`
continues it.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from federation.errors import CapacityError, FederationError

NEEDED_PACKAGES = ("torch", "transformers", "onnx", "tokenizers")
STOPPED = 75
_PR_SET_PDEATHSIG = 1


class TrainingUnavailable(CapacityError):
    """This PC lacks the packages of the `train` extra; it chats, rates and updates without them."""

    code = "training_unavailable"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the training that the command line names and return the process's status."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    arguments = _parser().parse_args(argv)
    if arguments.with_parent:
        _end_with_parent()
    try:
        return _perform(arguments, stopping)
    except FederationError as error:
        _report("refused", code=error.code, fields={name: str(value) for name, value in error.fields.items()})
        return 1


def _perform(arguments: argparse.Namespace, stopping: threading.Event) -> int:
    missing = [name for name in NEEDED_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainingUnavailable(missing=missing[0])
    # Only here, so that a PC without the `train` extra is told so in one sentence instead of a traceback.
    from federation.learning.school_update import TrainingTask, update_learn  # noqa: PLC0415

    task = TrainingTask(
        package=arguments.package,
        plan=arguments.plan,
        labels=arguments.labels,
        start=arguments.start,
        key=arguments.key,
        node_id=arguments.node_id,
        counter=arguments.counter,
        out=arguments.out,
        work=arguments.work or arguments.out.parent,
        dtype=arguments.dtype,
        threads=arguments.threads,
        checkpoint_steps=arguments.checkpoint_steps,
    )
    outcome = update_learn(task=task, now=lambda: datetime.now(UTC), should_stop=stopping.is_set, report=_report)
    return 0 if outcome.is_finished else STOPPED


def _end_with_parent() -> None:
    """Let the kernel kill this process when the one that started it is gone: a trainer must never be without a leash.

    One that stands still would do so for ever, and one that runs would learn beside the next. Source: Linux, prctl(2).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m federation.learning.train", description=__doc__.splitlines()[0])
    for name, what in (
        ("package", "folder of the base release that the school serves"),
        ("plan", "RoundPlan as JSON"),
        ("labels", "the school's own labels, one TeacherLabel a line"),
        ("key", "the node's private key, PEM"),
        ("out", "where the signed update goes"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=what)
    parser.add_argument("--start", type=Path, help="adapter file that the plan starts from, if it names one")
    parser.add_argument("--work", type=Path, help="folder of the checkpoint; by default the folder of --out")
    parser.add_argument("--node-id", required=True)
    parser.add_argument("--counter", type=int, required=True, help="grows with each update of the node")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--checkpoint-steps", type=int, default=2, help="steps between two checkpoints")
    parser.add_argument("--with-parent", action="store_true", help="die with the process that started this one")
    return parser


def _report(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
