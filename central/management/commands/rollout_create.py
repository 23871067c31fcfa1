"""`central rollout_create`: plan whom a release is offered to, and ask for approval."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.releases.services import release_find
from central.rollouts.describe import rollout_describe
from central.rollouts.services import DEFAULT_RULES, rollout_create, rollout_submit
from central.rollouts.wave_spec import wave_spec_read


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
            release=release_find(options["release"]), waves=waves, creator=creator, rules=rules, now=now
        )
        rollout_submit(rollout=rollout, actor=creator, now=now)
        text = f"Rollout {rollout.pk} awaits approval."
        self.answer(rollout_describe(rollout), as_json=options["json"], text=text)
