"""The only writer of what the school decides about its learning: when, and whether at all now."""

from __future__ import annotations

from datetime import datetime, time

from django.db import transaction

from federation.errors import WireError
from node.rounds.eligibility import LearningRule
from node.rounds.models import LearningSettings

MOST_IDLE_MINUTES = 24 * 60
MOST_REASON_CHARACTERS = 200


class LearningRuleRefused(WireError):
    """What somebody decided about learning cannot be kept: idle minutes or a stop's reason; `field` names which."""

    code = "learning_rule_refused"


def learning_settings_read() -> LearningSettings:
    """Return the settings; those of a school where nobody decided anything are the defaults."""
    return LearningSettings.objects.first() or LearningSettings()


def learning_rule_read() -> LearningRule:
    """Return the rule by which this PC learns now."""
    kept = learning_settings_read()
    return LearningRule(
        opens_at=kept.opens_at,
        closes_at=kept.closes_at,
        idle_minutes=kept.idle_minutes,
        is_stopped=kept.stopped_at is not None,
    )


def learning_hours_write(*, opens_at: time, closes_at: time, idle_minutes: int | None) -> None:
    """Keep when this PC may learn; it counts from the next second, for a training that runs too.

    Raises:
        LearningRuleRefused: idle minutes under 1 or over a day.
    """
    if idle_minutes is not None and not 1 <= idle_minutes <= MOST_IDLE_MINUTES:
        raise LearningRuleRefused(field="idle_minutes", value=idle_minutes)
    _keep({"opens_at": opens_at, "closes_at": closes_at, "idle_minutes": idle_minutes})


def learning_stop(*, reason: str, by: str, now: datetime) -> None:
    """Learn nothing from now on: a training that runs leaves a checkpoint and ends. `by` names who said so.

    Raises:
        LearningRuleRefused: the reason is over 200 characters.
    """
    if len(reason) > MOST_REASON_CHARACTERS:
        raise LearningRuleRefused(field="reason", value=len(reason))
    _keep({"stopped_at": now, "stopped_by": by, "stop_reason": reason.strip()})


def learning_resume() -> None:
    """Let this PC learn again, from the checkpoint that was left."""
    _keep({"stopped_at": None, "stopped_by": "", "stop_reason": ""})


@transaction.atomic
def _keep(fields: dict[str, object]) -> None:
    LearningSettings.objects.update_or_create(is_only=True, defaults=fields)
