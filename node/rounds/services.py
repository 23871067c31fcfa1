"""The only writer of plans and updates: a plan is kept as signed, learnt from once, and handed in until it is safe.

Rules, in order: only the director's signature makes a plan; a plan is learnt for whose start is the release that runs
here; one update a plan; only ratings in force are learnt from, as `node.rounds.labels` chooses; the learning runs in
another process, because it needs torch and this one must not, and makes way as `node.rounds.eligibility` says; an
update is done with only on the centre's own receipt; the files of the last few are kept beyond it, for a centre that is
restored from a backup may have lost them.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db import transaction
from django.db.models import Max

from federation.errors import CapacityError, FederationError, TransportError
from federation.trust.durable import durable_rename, durable_write
from federation.trust.envelopes import ROUND_PLAN, envelope_open, envelope_payload_unverified
from federation.trust.keys import VerifyingKey
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.releases import UpdateReceipt
from federation.wire.rounds import RoundPlan
from node.installed.services import ActiveRelease, active_release
from node.ratings.models import Rating
from node.root import secret_read
from node.rounds.eligibility import Hindrance, start_hindrance
from node.rounds.labels import OwnLabel, labels_choose
from node.rounds.learning_lock import learning_alone
from node.rounds.learning_settings import learning_rule_read
from node.rounds.models import LocalUpdate, Plan
from node.rounds.pc_state import pc_measure
from node.rounds.shipped import versions_shipped
from node.rounds.training import TrainingOrder, can_train, training_run

KEPT_UPDATES = 3
"""Some weeks' worth of what a school learns, some MB each."""
_log = logging.getLogger(__name__)


class NoOpenPlan(TransportError):
    """There is no round plan to learn for; one may come with the next sync."""

    code = "no_open_plan"


class TooFewLabels(TransportError):
    """The teachers of this school have not rated enough answers for the plan yet."""

    code = "too_few_labels"


class CannotTrain(CapacityError):
    """This PC lacks the packages that learning needs."""

    code = "cannot_train"


class PlanStartMissing(TransportError):
    """The release that the plan starts from is not the one that runs here."""

    code = "plan_start_missing"


class LearningHindered(TransportError):
    """Learning must not begin now; `reason` says why (`node.rounds.eligibility.Hindrance`)."""

    code = "learning_hindered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Who learns, and how the trainer is run; one that a person asks for minds no hours."""

    root: Path
    node_id: str
    clock: Callable[[], datetime]
    is_asked: bool = True
    run: Callable[[TrainingOrder], None] = training_run


def plan_receive(*, envelope: bytes, director_key: VerifyingKey, now: datetime) -> Plan:
    """Return the plan that the envelope holds, kept byte for byte; a plan that is already here is not replaced.

    Raises:
        MalformedDocument, WrongKind, BadSignature: it is not a plan of the director's.
    """
    plan = parse(RoundPlan, envelope_open(envelope, kind=ROUND_PLAN, key=director_key))
    kept, is_new = Plan.objects.get_or_create(
        plan_id=plan.plan_id,
        defaults={
            "season_id": plan.season_id,
            "base": plan.base,
            "start": plan.start,
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


def plan_choose(*, root: Path, now: datetime, plan_id: str | None = None) -> Plan:
    """Return the newest open plan that starts from the release that runs here, or the open one with this id.

    Raises:
        NoOpenPlan: none is open.
        PlanStartMissing: none of those that are open starts from what runs here.
    """
    plans = Plan.objects.filter(closes_at__gt=now).exclude(season_id="").order_by("-issued_at")
    plans = plans.filter(pk=plan_id) if plan_id else plans
    active = _running(root)
    if not plans.exists():
        raise NoOpenPlan(plan_id=plan_id or "")
    plan = None if active is None else plans.filter(base=_base_of(active), start=_start_of(active)).first()
    if plan is None:
        raise PlanStartMissing(release=active.digest if active else "")
    return plan


def labels_for(*, plan: RoundPlan, root: Path) -> tuple[OwnLabel, ...]:
    """Return the labels of this school under a plan, newest first."""
    ratings = list(Rating.objects.active().order_by("-rated_at", "-pk"))
    learnt = LocalUpdate.objects.learnt_record_ids()
    secret = secret_read(root / "keys" / "pseudonym.secret")
    return labels_choose(ratings, plan=plan, secret=secret, learnt=learnt)


def training_is_due(*, root: Path, now: datetime) -> bool:
    """Return whether there is a plan to learn for, with enough labels, on a PC that can and may at this moment."""
    if not can_train():
        return False
    try:
        plan = plan_choose(root=root, now=now)
    except (NoOpenPlan, PlanStartMissing):
        return False
    update = LocalUpdate.objects.filter(plan=plan).first()
    is_done = update is not None and update.status != LocalUpdate.Status.TRAINING
    if is_done or learning_hindrance(root=root, now=now, is_asked=False) is not None:
        return False
    # Last: it reads every rating of the school.
    return update is not None or _has_labels(plan_document(plan), root)


def learning_hindrance(*, root: Path, now: datetime, is_asked: bool) -> Hindrance | None:
    """Return why learning must not begin at `now`, or None."""
    return start_hindrance(learning_rule_read(), pc_measure(root=root, now=now), is_asked=is_asked)


def train_start(*, learner: Learner, plan_id: str | None = None) -> LocalUpdate:
    """Return the update that was learnt for the newest plan that fits, ready to be handed in.

    One that is finished already is returned as it is; one that a power cut ended goes on from its last checkpoint. Of
    two callers the second waits and finds the first one's update.

    Raises:
        NoOpenPlan, PlanStartMissing, TooFewLabels, LearningHindered, CannotTrain: nothing can be learnt now.
        TrainingStopped: the trainer was asked to end; the next call goes on from its checkpoint.
        TrainingFailed: the child process ended badly; its log says why.
    """
    with learning_alone(learner.root):
        return _train(learner, plan_id)


def _train(learner: Learner, plan_id: str | None) -> LocalUpdate:
    root, clock = learner.root, learner.clock
    plan = plan_choose(root=root, now=clock(), plan_id=plan_id)
    done = LocalUpdate.objects.filter(plan=plan).exclude(status__in=["training", "failed"]).first()
    if done is not None:
        return done
    if not can_train():
        raise CannotTrain
    hindrance = learning_hindrance(root=root, now=clock(), is_asked=learner.is_asked)
    if hindrance is not None:
        raise LearningHindered(reason=hindrance.value)
    order = _order(learner, plan)
    started = time.monotonic()
    try:
        learner.run(order)
    except CapacityError as error:
        LocalUpdate.objects.filter(counter=order.counter).update(
            status=LocalUpdate.Status.FAILED, error_code=error.code, finished_at=clock()
        )
        raise
    update = LocalUpdate.objects.select_related("plan").get(counter=order.counter)
    return _update_finish(update, order.out, root, seconds=time.monotonic() - started, now=clock())


def _order(learner: Learner, plan: Plan) -> TrainingOrder:
    """Return what the trainer is told; its files lie ready."""
    active = _running(learner.root)
    if active is None:
        raise PlanStartMissing(release="")
    folder = learner.root / "rounds" / plan.plan_id
    update = _update_begin(plan, folder, learner)
    return TrainingOrder(
        root=learner.root,
        package=active.package,
        plan=folder / "plan.json",
        labels=folder / "labels.jsonl",
        start=active.adapter,
        key=learner.root / "keys" / "node.pem",
        node_id=learner.node_id,
        counter=update.counter,
        out=folder / "update.part",
        log=learner.root / "logs" / "train.log",
        is_asked=learner.is_asked,
    )


def update_path(*, root: Path, update: LocalUpdate) -> Path:
    """Return where a finished update waits; the SuperNode reads it from there."""
    return outbox_path(root) / update.file_name


def outbox_path(root: Path) -> Path:
    """Return the folder of finished updates."""
    return root / "rounds" / "outbox"


def labels_export(*, plan: RoundPlan, root: Path, into: Path) -> tuple[str, ...]:
    """Leave the labels as lines of `TeacherLabel` JSON at `into`; return the ids of the ratings that are learnt from.

    Raises:
        TooFewLabels: fewer to learn from than the plan asks for.
    """
    labels = labels_for(plan=plan, root=root)
    learnt = tuple(each.record_id for each in labels if not each.label.is_held_out)
    if len(learnt) < max(1, plan.min_labels):
        raise TooFewLabels(labels=len(learnt), min_labels=plan.min_labels)
    durable_write(into, b"".join(canonical_bytes(each.label) + b"\n" for each in labels), mode=0o600)
    return learnt


@transaction.atomic
def update_receive_receipt(*, receipt: UpdateReceipt, root: Path) -> bool:
    """Return whether the centre's word settled an update of this node, which then waits in the outbox no more.

    A receipt for other bytes than the ones that were learnt here settles nothing.
    """
    status = LocalUpdate.Status.ACCEPTED if receipt.accepted else LocalUpdate.Status.REFUSED
    named = LocalUpdate.objects.waiting().filter(plan_id=receipt.plan_id, sha256=receipt.update_sha256)
    update = named.select_related("plan").first()
    if update is None or named.update(status=status, error_code=receipt.code[:64]) != 1:
        return False
    transaction.on_commit(lambda: _sent_away(root, update, is_kept=receipt.accepted))
    _log.info("update for plan %s: %s %s", receipt.plan_id, status, receipt.code)
    return True


def updates_offer_again(*, root: Path) -> int:
    """Return how many updates that the centre had accepted wait once more, because it was restored from a backup.

    Those that it still knows are settled by their receipts before anything is sent.
    """
    kept = [update for update in _newest_accepted() if _kept_path(root, update).exists()]
    for update in kept:
        # A cut before the commit leaves an accepted update in the outbox, where it is offered in vain at worst.
        durable_rename(_kept_path(root, update), update_path(root=root, update=update))
    again = LocalUpdate.objects.filter(pk__in=[update.pk for update in kept])
    return again.update(status=LocalUpdate.Status.READY)


def updates_find_shipped(*, root: Path) -> int:
    """Return of how many updates it has become known that they shipped, by the releases that lie here now.

    It is kept from now on, each for itself: a release leaves the disk when the next ones have come.
    """
    unshipped = LocalUpdate.objects.unshipped()
    digests = frozenset(unshipped.values_list("sha256", flat=True))
    versions = versions_shipped(root=root, updates=digests) if digests else {}
    return sum(unshipped.filter(sha256=sha256).update(release_version=version) for sha256, version in versions.items())


def _sent_away(root: Path, update: LocalUpdate, *, is_kept: bool) -> None:
    """Take the update's file out of the outbox, and keep it where it `is_kept`; older ones than the last few go."""
    sent, kept = update_path(root=root, update=update), _kept_path(root, update)
    if is_kept and sent.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        durable_rename(sent, kept)
    sent.unlink(missing_ok=True)
    newest = {_kept_path(root, each) for each in _newest_accepted()}
    for path in set(kept.parent.glob("*.update")) - newest:
        path.unlink(missing_ok=True)


def _newest_accepted() -> list[LocalUpdate]:
    accepted = LocalUpdate.objects.filter(status=LocalUpdate.Status.ACCEPTED)
    return list(accepted.select_related("plan").order_by("-counter")[:KEPT_UPDATES])


def _kept_path(root: Path, update: LocalUpdate) -> Path:
    return root / "rounds" / "kept" / update.file_name


def _update_begin(plan: Plan, folder: Path, learner: Learner) -> LocalUpdate:
    """Leave the plan and the labels on the disk; after a cut both stay as they were, so the checkpoint still fits."""
    folder.mkdir(parents=True, exist_ok=True)
    update = LocalUpdate.objects.filter(plan=plan).first()
    if update is not None and update.status == LocalUpdate.Status.TRAINING:
        return update
    document = plan_document(plan)
    record_ids = labels_export(plan=document, root=learner.root, into=folder / "labels.jsonl")
    durable_write(folder / "plan.json", canonical_bytes(document))
    newest = LocalUpdate.objects.aggregate(newest=Max("counter"))["newest"] or 0
    _superseded_close(learner.clock())
    return LocalUpdate.objects.update_or_create(
        plan=plan,
        defaults={
            "counter": update.counter if update else newest + 1,
            "status": LocalUpdate.Status.TRAINING,
            "record_ids": list(record_ids),
            "labels": len(record_ids),
            "error_code": "",
            "started_at": learner.clock(),
        },
    )[0]


def _superseded_close(now: datetime) -> None:
    """End what was begun for an older plan and will not be taken up again: this PC learns for the newest."""
    begun = LocalUpdate.objects.filter(status=LocalUpdate.Status.TRAINING)
    begun.update(status=LocalUpdate.Status.FAILED, error_code=PlanStartMissing.code, finished_at=now)


def _running(root: Path) -> ActiveRelease | None:
    try:
        return active_release(root=root)
    except FederationError as error:
        # The status page says what is wrong with it; until it is mended nothing can be learnt on it.
        _log.warning("no release to learn on: %s", error)
        return None


def _base_of(active: ActiveRelease) -> str:
    return active.index.base or active.digest


def _start_of(active: ActiveRelease) -> str:
    return active.digest if active.index.base else ""


def _has_labels(plan: RoundPlan, root: Path) -> bool:
    learnt = sum(1 for each in labels_for(plan=plan, root=root) if not each.label.is_held_out)
    return learnt >= max(1, plan.min_labels)


def _update_finish(update: LocalUpdate, draft: Path, root: Path, *, seconds: float, now: datetime) -> LocalUpdate:
    content = draft.read_bytes()
    ready = update_path(root=root, update=update)
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
