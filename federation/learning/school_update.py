"""From a plan and a school's labels to a signed update file: everything between the trainer and the disk."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import torch

from federation.adapter_file import adapter_read
from federation.basis import AdapterFactors
from federation.errors import CapacityError, WireError
from federation.learning.adapted_model import StartMismatch, adapter_attach
from federation.learning.chat import ConversationTokenizer
from federation.learning.lessons import anchors_make, lessons_make
from federation.learning.onnx_base import onnx_base_load
from federation.learning.precision import dtype_fastest
from federation.learning.torch_trainer import Outcome, Training
from federation.learning.update import update_write
from federation.trust.durable import durable_write
from federation.trust.keys import NodeKey, node_key_load
from federation.trust.release_bytes import variant_read
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.labels import TeacherLabel
from federation.wire.rounds import RoundPlan

Report = Callable[..., None]


class TrainingInputUnreadable(CapacityError):
    """The file of labels, or the plan, cannot be read."""

    code = "training_input_unreadable"


class TooFewExamples(WireError):
    """The school has fewer usable labels than the plan asks for."""

    code = "too_few_examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What to train on, where, and as whom; `dtype` is auto, float32 or bfloat16.

    `start` is the adapter file that the plan starts from; None where that is the base alone.
    """

    package: Path
    plan: Path
    labels: Path
    start: Path | None
    key: Path
    node_id: str
    counter: int
    out: Path
    work: Path
    dtype: str
    threads: int
    checkpoint_steps: int


def update_learn(
    *, task: TrainingTask, now: Callable[[], datetime], should_stop: Callable[[], bool], report: Report
) -> Outcome:
    """Leave the signed update at `task.out`, or, once `should_stop()`, a checkpoint in `task.work`.

    Raises:
        TrainingInputUnreadable, KeyUnreadable, BaseUnreadable, TokenizerUnusable: an input is missing or damaged.
        AdapterDamaged, AdapterTooNew, AdapterForAnotherBase, AdapterNotFinite: the start cannot be used.
        MalformedDocument: the plan or a label is not what it should be.
        TooFewExamples: fewer usable labels than the plan asks for.
        SlotUnknown, StartMismatch: the plan's slots are not this base's, or the start's.
    """
    started = time.monotonic()
    key = node_key_load(task.key)
    plan = parse(RoundPlan, _content(task.plan))
    task.work.mkdir(parents=True, exist_ok=True)
    training, labels = _training(task, plan)
    report("loaded", seconds=_since(started), labels=labels, steps=training.steps)
    outcome = training.run(
        checkpoint_steps=task.checkpoint_steps,
        on_step=lambda step: report("step", **asdict(step), seconds=_since(started)),
        should_stop=should_stop,
    )
    update_bytes = _write(task, plan, key, training, outcome, labels, now()) if outcome.is_finished else 0
    report(
        "finished" if outcome.is_finished else "stopped",
        steps=outcome.steps,
        loss_before=outcome.nats_before,
        loss_after=outcome.nats_after,
        norm=training.norm(),
        update_bytes=update_bytes,
        seconds=_since(started),
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )
    return outcome


def _training(task: TrainingTask, plan: RoundPlan) -> tuple[Training, int]:
    torch.set_num_threads(task.threads)
    torch.use_deterministic_algorithms(mode=True)
    tokenizer = ConversationTokenizer(task.package / "tokenizer.json.gz")
    content = _content(task.labels)
    labels = [parse(TeacherLabel, line) for line in content.splitlines() if line.strip()]
    lessons = lessons_make(labels, tokenizer=tokenizer, objective=plan.objective)
    if lessons.count < max(1, plan.min_labels):
        raise TooFewExamples(usable=lessons.count, min_labels=plan.min_labels)
    dtype = _dtype(task.dtype)
    model = onnx_base_load(task.package, dtype=dtype)
    adapters = adapter_attach(
        model, seed=plan.seed, rank=plan.rank, slots=plan.slots, scheme=plan.scheme, start=_start(task, plan)
    )
    training = Training(
        model=model,
        adapters=adapters,
        plan=plan,
        lessons=lessons,
        anchors=anchors_make(plan.anchors, tokenizer=tokenizer),
        identity=sha256_hex(canonical_bytes(plan) + b"\n" + content + b"\n" + str(dtype).encode()),
        checkpoint=task.work / "checkpoint.pt",
    )
    return training, lessons.count


def _start(task: TrainingTask, plan: RoundPlan) -> AdapterFactors | None:
    if bool(plan.start) != (task.start is not None):
        raise StartMismatch(slot="")
    if task.start is None:
        return None
    adapter = adapter_read(task.start, base_digest=plan.base)
    if adapter.a is None and adapter.seed != plan.seed:
        raise StartMismatch(slot="")
    return adapter.factors


def _write(
    task: TrainingTask,
    plan: RoundPlan,
    key: NodeKey,
    training: Training,
    outcome: Outcome,
    labels: int,
    made_at: datetime,
) -> int:
    content = update_write(
        plan=plan,
        node_id=task.node_id,
        counter=task.counter,
        labels=labels,
        steps=outcome.steps,
        loss_before=outcome.nats_before,
        loss_after=outcome.nats_after,
        arrays=training.arrays() | training.grams(),
        scores=training.scores(),
        variant=variant_read(task.package),
        made_at=made_at,
        key=key,
    )
    durable_write(task.out, content, mode=0o600)
    training.checkpoint_remove()
    return len(content)


def _dtype(name: str) -> torch.dtype:
    if name == "auto":
        return dtype_fastest()
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrainingInputUnreadable(path=str(path), problem=str(error)) from error


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
