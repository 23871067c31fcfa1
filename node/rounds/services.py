"""The only writer of plans and updates: a plan is kept as signed, learnt from once, and handed in until it is safe.

Rules, in order: only the director's signature makes a plan; one update a plan; only active corrections are learnt from,
at most `max_labels` of them; the learning runs in another process, because it needs torch and this one must not; an
update's file goes only after the centre's own receipt.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Max

from federation.errors import CapacityError, TransportError
from federation.trust.durable import durable_rename, durable_write
from federation.trust.envelopes import ROUND_PLAN, envelope_open, envelope_payload_unverified
from federation.trust.keys import VerifyingKey
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.releases import UpdateReceipt
from federation.wire.rounds import Example, RoundPlan
from node.installed.disk import release_path
from node.ratings.models import Rating
from node.rounds.models import LocalUpdate, Plan
from node.rounds.training import TrainingOrder, can_train, training_run

_log = logging.getLogger(__name__)


class NoOpenPlan(TransportError):
    """There is no round plan to learn for; one may come with the next sync."""

    code = "no_open_plan"


class TooFewLabels(TransportError):
    """The teachers of this school have not corrected enough answers for the plan yet."""

    code = "too_few_labels"


class CannotTrain(CapacityError):
    """This PC lacks the packages that learning needs."""

    code = "cannot_train"


class PlanBaseMissing(TransportError):
    """The plan's base release is not installed here yet."""

    code = "plan_base_missing"


def plan_receive(*, envelope: bytes, director_key: VerifyingKey, now: datetime) -> Plan:
    """Return the plan that the envelope holds, kept byte for byte; a plan that is already here is not replaced.

    Raises:
        MalformedDocument, WrongKind, BadSignature: it is not a plan of the director's.
    """
    plan = parse(RoundPlan, envelope_open(envelope, kind=ROUND_PLAN, key=director_key))
    kept, is_new = Plan.objects.get_or_create(
        plan_id=plan.plan_id,
        defaults={
            "base": plan.base,
            "envelope": envelope,
            "issued_at": plan.issued_at,
            "closes_at": plan.closes_at,
            "received_at": now,
        },
    )
    if is_new:
        _log.info("plan %s received, closes at %s", plan.plan_id, plan.closes_at.isoformat())
    return kept


def plan_document(plan: Plan) -> RoundPlan:
    """Return the plan's terms as they were signed and verified when it came."""
    return parse(RoundPlan, envelope_payload_unverified(bytes(plan.envelope), kind=ROUND_PLAN))


def plan_newest_id() -> str:
    """Return the id of the plan that was issued last, open or not; empty before the first."""
    return Plan.objects.order_by("-issued_at").values_list("plan_id", flat=True).first() or ""


def updates_waiting() -> tuple[str, ...]:
    """Return the SHA-256 of the finished updates on which the centre has not given its word, oldest first."""
    return tuple(LocalUpdate.objects.waiting().values_list("sha256", flat=True))


def plan_newest(*, now: datetime, plan_id: str | None = None) -> Plan:
    """Return the open plan with this id, or the one that was issued last.

    Raises:
        NoOpenPlan: none is open.
    """
    plans = Plan.objects.filter(closes_at__gt=now)
    plan = (plans.filter(pk=plan_id) if plan_id else plans).order_by("-issued_at").first()
    if plan is None:
        raise NoOpenPlan(plan_id=plan_id or "")
    return plan


def corrections_for(*, plan: RoundPlan) -> tuple[Rating, ...]:
    """Return the corrections to learn from, newest first: the plan caps how many count."""
    return tuple(Rating.objects.corrections().reverse()[: plan.max_labels])


def training_is_due(*, now: datetime) -> bool:
    """Return whether there is a plan to learn for, with enough corrections, on a PC that can."""
    try:
        plan = plan_newest(now=now)
    except NoOpenPlan:
        return False
    update = LocalUpdate.objects.filter(plan=plan).first()
    is_open = update is None or update.status == LocalUpdate.Status.TRAINING
    document = plan_document(plan)
    return is_open and can_train() and len(corrections_for(plan=document)) >= max(1, document.min_labels)


def train_start(
    *,
    root: Path,
    node_id: str,
    clock: Callable[[], datetime],
    plan_id: str | None = None,
    run: Callable[[TrainingOrder], None] = training_run,
) -> LocalUpdate:
    """Return the update that was learnt for the newest open plan, ready to be handed in.

    One that is finished already is returned as it is; one that a power cut ended goes on from its last checkpoint. Of
    two callers the second waits and finds the first one's update.

    Raises:
        NoOpenPlan, TooFewLabels, PlanBaseMissing, CannotTrain: nothing can be learnt now.
        TrainingStopped: the trainer was asked to end; the next call goes on from its checkpoint.
        TrainingFailed: the child process ended badly; its log says why.
    """
    (root / "rounds").mkdir(parents=True, exist_ok=True)
    with (root / "rounds" / "train.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        return _train(root=root, node_id=node_id, clock=clock, plan_id=plan_id, run=run)


def _train(
    *,
    root: Path,
    node_id: str,
    clock: Callable[[], datetime],
    plan_id: str | None,
    run: Callable[[TrainingOrder], None],
) -> LocalUpdate:
    plan = plan_newest(now=clock(), plan_id=plan_id)
    done = LocalUpdate.objects.filter(plan=plan).exclude(status__in=["training", "failed"]).first()
    if done is not None:
        return done
    package = release_path(root, plan.base)
    if not package.is_dir():
        raise PlanBaseMissing(base=plan.base)
    if not can_train():
        raise CannotTrain
    folder = root / "rounds" / plan.plan_id
    update = _update_begin(plan, folder, clock())
    started = time.monotonic()
    draft = folder / "update.part"
    order = TrainingOrder(
        root=root,
        package=package,
        plan=folder / "plan.json",
        examples=folder / "examples.jsonl",
        key=root / "keys" / "node.pem",
        node_id=node_id,
        counter=update.counter,
        out=draft,
        log=root / "logs" / "train.log",
    )
    try:
        run(order)
    except CapacityError as error:
        LocalUpdate.objects.filter(pk=update.pk).update(
            status=LocalUpdate.Status.FAILED, error_code=error.code, finished_at=clock()
        )
        raise
    return _update_finish(update, draft, root, seconds=time.monotonic() - started, now=clock())


def update_path(*, root: Path, plan_id: str) -> Path:
    """Return where the finished update of a plan waits; the SuperNode reads it from there."""
    return outbox_path(root) / f"{plan_id}.update"


def outbox_path(root: Path) -> Path:
    """Return the folder of finished updates."""
    return root / "rounds" / "outbox"


def examples_export(*, plan: RoundPlan, into: Path) -> tuple[str, ...]:
    """Leave the corrections as lines of `Example` JSON at `into`, and return the ids of the ratings behind them.

    Raises:
        TooFewLabels: fewer than the plan asks for.
    """
    ratings = corrections_for(plan=plan)
    if len(ratings) < max(1, plan.min_labels):
        raise TooFewLabels(labels=len(ratings), min_labels=plan.min_labels)
    lines = [canonical_bytes(Example(prompt=rating.question, answer=rating.correction)) for rating in ratings]
    durable_write(into, b"".join(line + b"\n" for line in lines), mode=0o600)
    return tuple(rating.record_id for rating in ratings)


@transaction.atomic
def update_receive_receipt(*, receipt: UpdateReceipt, root: Path) -> bool:
    """Return whether the centre's word settled an update of this node; its file is then gone.

    A receipt for other bytes than the ones that were learnt here settles nothing.
    """
    status = LocalUpdate.Status.ACCEPTED if receipt.accepted else LocalUpdate.Status.REFUSED
    waiting = LocalUpdate.objects.waiting().filter(plan_id=receipt.plan_id, sha256=receipt.update_sha256)
    if waiting.update(status=status, error_code=receipt.code[:64]) != 1:
        return False
    path = update_path(root=root, plan_id=receipt.plan_id)
    transaction.on_commit(lambda: path.unlink(missing_ok=True))
    _log.info("update for plan %s: %s %s", receipt.plan_id, status, receipt.code)
    return True


def _update_begin(plan: Plan, folder: Path, now: datetime) -> LocalUpdate:
    """Leave the plan and the examples on the disk; after a cut both stay as they were, so the checkpoint still fits."""
    folder.mkdir(parents=True, exist_ok=True)
    update = LocalUpdate.objects.filter(plan=plan).first()
    if update is not None and update.status == LocalUpdate.Status.TRAINING:
        return update
    document = plan_document(plan)
    record_ids = examples_export(plan=document, into=folder / "examples.jsonl")
    durable_write(folder / "plan.json", canonical_bytes(document))
    newest = LocalUpdate.objects.aggregate(newest=Max("counter"))["newest"] or 0
    return LocalUpdate.objects.update_or_create(
        plan=plan,
        defaults={
            "counter": update.counter if update else newest + 1,
            "status": LocalUpdate.Status.TRAINING,
            "record_ids": list(record_ids),
            "labels": len(record_ids),
            "error_code": "",
            "started_at": now,
        },
    )[0]


def _update_finish(update: LocalUpdate, draft: Path, root: Path, *, seconds: float, now: datetime) -> LocalUpdate:
    content = draft.read_bytes()
    ready = update_path(root=root, plan_id=update.plan_id)
    ready.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(draft, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    durable_rename(draft, ready)
    LocalUpdate.objects.filter(pk=update.pk).update(
        status=LocalUpdate.Status.READY,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        seconds=round(seconds, 1),
        finished_at=now,
    )
    update.refresh_from_db()
    return update
