"""From a plan and a school's examples to a signed update file: everything between the trainer and the disk."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import torch

from federation.errors import CapacityError, WireError
from federation.learning.adapted_model import adapter_attach
from federation.learning.chat import Conversation, ConversationTokenizer
from federation.learning.onnx_base import onnx_base_load
from federation.learning.precision import dtype_fastest
from federation.learning.torch_trainer import Outcome, Training
from federation.learning.update import update_write
from federation.trust.durable import durable_write
from federation.trust.keys import NodeKey, node_key_load
from federation.trust.release_bytes import variant_read
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import Example, Factor, RoundPlan

MAX_TOKENS = 512
"""A question and its answer are learnt from no more than this many tokens."""

Report = Callable[..., None]


class TrainingInputUnreadable(CapacityError):
    """The file of examples, or the plan, cannot be read."""

    code = "training_input_unreadable"


class TooFewExamples(WireError):
    """The school has fewer usable examples than the plan asks for."""

    code = "too_few_examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTask:
    """What to train on, where, and as whom; `dtype` is auto, float32 or bfloat16."""

    package: Path
    plan: Path
    examples: Path
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
        MalformedDocument: the plan or an example is not what it should be.
        TooFewExamples: fewer usable examples than the plan asks for.
        SlotUnknown: the plan's slots are not this base's.
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
    examples = _content(task.examples)
    own = _conversations(tokenizer, [parse(Example, line) for line in examples.splitlines() if line.strip()])
    if len(own) < max(1, plan.min_labels):
        raise TooFewExamples(usable=len(own), min_labels=plan.min_labels)
    dtype = _dtype(task.dtype)
    model = onnx_base_load(task.package, dtype=dtype)
    training = Training(
        model=model,
        factors=adapter_attach(model, seed=plan.seed, rank=plan.rank, slots=plan.slots),
        plan=plan,
        own=own,
        anchors=_conversations(tokenizer, plan.anchors),
        identity=sha256_hex(canonical_bytes(plan) + b"\n" + examples + b"\n" + str(dtype).encode()),
        checkpoint=task.work / "checkpoint.pt",
    )
    return training, len(own)


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
        arrays={(slot, Factor.B): array for slot, array in training.factors_numpy().items()}
        | {(slot, Factor.GRAM): array for slot, array in training.grams().items()},
        variant=variant_read(task.package),
        made_at=made_at,
        key=key,
    )
    durable_write(task.out, content, mode=0o600)
    training.checkpoint_remove()
    return len(content)


def _conversations(tokenizer: ConversationTokenizer, examples: Sequence[Example]) -> list[Conversation]:
    """Return those whose answer has at least one token within the limit."""
    conversations = (tokenizer.conversation(example, max_tokens=MAX_TOKENS) for example in examples)
    return [conversation for conversation in conversations if len(conversation.ids) > conversation.answer_start]


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
