"""How far the learning on this PC is, in one word for a page or a command. Reads only; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from node.rounds.eligibility import Hindrance, running_hindrance, start_hindrance
from node.rounds.learning_lock import is_learning
from node.rounds.learning_settings import learning_rule_read, learning_settings_read
from node.rounds.models import LearningSettings, LocalUpdate, Plan
from node.rounds.pc_state import pc_measure
from node.rounds.services import NoOpenPlan, PlanStartMissing, labels_for, plan_choose, plan_document
from node.rounds.training import can_train


class LearningPhase(StrEnum):
    """What the learning is doing."""

    CANNOT = "cannot"
    STOPPED = "stopped"
    RUNNING = "running"
    MAKES_WAY = "makes_way"
    """It stands still while a question is answered."""
    NO_PLAN = "no_plan"
    FEW_LABELS = "few_labels"
    DONE = "done"
    """What the newest round asks for is learnt."""
    FAILED = "failed"
    WAITS = "waits"
    """There is something to learn, and `hindrance` says why not now."""
    DUE = "due"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningStatus:
    """The phase, and what a reader wants to know beside it."""

    phase: LearningPhase
    hindrance: str
    labels: int
    min_labels: int
    settings: LearningSettings


def learning_status(*, root: Path, now: datetime) -> LearningStatus:
    """Return how far the learning on this PC is at `now`."""
    settings = learning_settings_read()
    try:
        plan: Plan | None = plan_choose(root=root, now=now)
    except (NoOpenPlan, PlanStartMissing):
        plan = None
    document = None if plan is None else plan_document(plan)
    labels = (
        0 if document is None else sum(1 for each in labels_for(plan=document, root=root) if not each.label.is_held_out)
    )
    min_labels = 0 if document is None else max(1, document.min_labels)
    phase, hindrance = _phase(root, now, plan, is_enough=labels >= min_labels)
    return LearningStatus(
        phase=phase,
        hindrance=hindrance.value if hindrance else "",
        labels=labels,
        min_labels=min_labels,
        settings=settings,
    )


def _phase(root: Path, now: datetime, plan: Plan | None, *, is_enough: bool) -> tuple[LearningPhase, Hindrance | None]:
    rule, state = learning_rule_read(), pc_measure(root=root, now=now)
    if is_learning(root):
        running = running_hindrance(rule, state, is_asked=True, is_waiting=False)
        return (LearningPhase.MAKES_WAY if running is Hindrance.CHAT else LearningPhase.RUNNING), None
    if not can_train():
        return LearningPhase.CANNOT, None
    if rule.is_stopped:
        return LearningPhase.STOPPED, None
    settled = LearningPhase.NO_PLAN if plan is None else _settled(plan, is_enough=is_enough)
    hindrance = None if settled else start_hindrance(rule, state, is_asked=False)
    return settled or (LearningPhase.WAITS if hindrance else LearningPhase.DUE), hindrance


def _settled(plan: Plan, *, is_enough: bool) -> LearningPhase | None:
    """Return what there is to say of the plan where nothing waits to be learnt for it."""
    update = LocalUpdate.objects.filter(plan=plan).first()
    if update is None:
        return None if is_enough else LearningPhase.FEW_LABELS
    if update.status == LocalUpdate.Status.TRAINING:
        return None
    return LearningPhase.FAILED if update.status == LocalUpdate.Status.FAILED else LearningPhase.DONE
