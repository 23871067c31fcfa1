"""`central rollout_create`: plan whom a release is offered to, and ask for approval."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.releases.services import release_find
from central.rollouts.describe import rollout_describe
from central.rollouts.services import DEFAULT_RULES, rollout_create, rollout_submit
from central.rollouts.targeting import Target
from central.rollouts.terms import RolloutTerms
from central.rollouts.wave_spec import wave_spec_read

MARKS = {"region": "regions", "district": "districts", "kind": "kinds", "hardware": "hardware", "tag": "tags"}
"""Options that choose schools, by the field of the target that each is for."""


class Command(CentreCommand):
    """Make a rollout of one or more waves, awaiting approval by somebody else."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the release, the waves and their rules."""
        parser.add_argument("--release", required=True, help="its version or digest")
        parser.add_argument(
            "--wave",
            action="append",
            required=True,
            help="NAME=school,school, NAME=25%% (cumulative) or NAME=+50 (PCs); repeatable",
        )
        parser.add_argument("--creator", required=True)
        parser.add_argument("--soak-seconds", type=int, default=int(DEFAULT_RULES.soak.total_seconds()))
        parser.add_argument("--deadline-seconds", type=int, default=int(DEFAULT_RULES.deadline.total_seconds()))
        parser.add_argument("--min-committed", type=int, default=DEFAULT_RULES.min_committed)
        parser.add_argument("--failures-allowed", type=int, default=DEFAULT_RULES.failures_allowed)
        parser.add_argument("--json", action="store_true")
        self._add_terms(parser)

    def _add_terms(self, parser: ArgumentParser) -> None:
        for mark in MARKS:
            parser.add_argument(f"--{mark}", action="append", default=[], help="only schools with it; repeatable")
        parser.add_argument("--rollback", action="store_true", help="the release is older and has run at schools")
        parser.add_argument("--forced", action="store_true", help="schools do not wait for their hours")
        parser.add_argument("--activates-at", type=moment_read, help="until then schools only fetch: 2026-09-01T08:00")
        parser.add_argument("--hours", type=hours_read, help="when schools change over, by their clock: 18:00-06:00")
        parser.add_argument("--failure-budget", type=int, help="failures allowed in all waves together")

    def run(self, options: dict[str, Any]) -> None:
        """Make it and ask for approval."""
        rules = replace(
            DEFAULT_RULES,
            soak=timedelta(seconds=options["soak_seconds"]),
            deadline=timedelta(seconds=options["deadline_seconds"]),
            min_committed=options["min_committed"],
            failures_allowed=options["failures_allowed"],
        )
        now, creator = timezone.now(), options["creator"]
        waves = [wave_spec_read(text) for text in options["wave"]]
        rollout = rollout_create(
            release=release_find(options["release"]),
            waves=waves,
            creator=creator,
            rules=rules,
            terms=_terms(options),
            now=now,
        )
        rollout_submit(rollout=rollout, actor=creator, now=now)
        text = f"Rollout {rollout.pk} awaits approval."
        self.answer(rollout_describe(rollout), as_json=options["json"], text=text)


def hours_read(text: str) -> tuple[time, time]:
    """Return the hours that `HH:MM-HH:MM` names.

    Raises:
        ValueError: it has another form.
    """
    opens_at, _, closes_at = text.partition("-")
    return time.fromisoformat(opens_at), time.fromisoformat(closes_at)


def moment_read(text: str) -> datetime:
    """Return the moment that `text` names in ISO 8601, by the centre's clock where it names no zone.

    Raises:
        ValueError: it has another form.
    """
    moment = datetime.fromisoformat(text)
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment


def _terms(options: dict[str, Any]) -> RolloutTerms:
    marks = {field: tuple(options[mark]) for mark, field in MARKS.items()}
    return RolloutTerms(
        target=Target(**marks),
        is_rollback=options["rollback"],
        is_forced=options["forced"],
        activates_at=options["activates_at"],
        window=options["hours"],
        failure_budget=options["failure_budget"],
    )
