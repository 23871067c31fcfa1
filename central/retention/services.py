"""Keeps the rules: counts what would go, and lets it go in bounded steps, with a line in the log and in the audit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from central.disk import CentreDisk
from central.retention.rules import Rule, rules
from central.schools.audit import audit_record

LOGGER = logging.getLogger(__name__)
ACTOR = "centre"
SWEEP_ROWS = 50_000
"""Of one rule in one sweep: hourly, so a day's 1.2 million are more than any day brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How one rule stands."""

    name: str
    words: str
    months: int
    before: datetime
    rows: int
    """That may go, or have gone."""


def retention_show(*, disk: CentreDisk, now: datetime) -> tuple[Kept, ...]:
    """Return what would go by now, rule by rule; nothing changes."""
    since = [(rule, rule.kept_since(now)) for rule in rules(disk)]
    return tuple(_kept(rule, before, rule.due(before)) for rule, before in since)


def retention_keep(*, disk: CentreDisk, actor: str, now: datetime, most: int = SWEEP_ROWS) -> tuple[Kept, ...]:
    """Let go what may go by now, about `most` of each rule, and return how many went; the audit has a row for each."""
    found = []
    for rule in rules(disk):
        before = rule.kept_since(now)
        gone = rule.forget(before, most)
        found.append(_kept(rule, before, gone))
        if gone:
            LOGGER.info("retention: %d of %s from before %s are forgotten", gone, rule.name, before.isoformat())
            reason = f"{gone}, before {before:%Y-%m-%d}"
            audit_record(actor=actor, entity=rule.name, old="", new="forgotten", reason=reason, now=now)
    return tuple(found)


def _kept(rule: Rule, before: datetime, rows: int) -> Kept:
    return Kept(name=rule.name, words=rule.words, months=rule.months, before=before, rows=rows)
