"""`central rollout_approve`: let a rollout start."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.rollouts.describe import rollout_describe
from central.rollouts.services import rollout_approve, rollout_get


class Command(CentreCommand):
    """Approve a rollout that somebody else made."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the rollout and the approver."""
        parser.add_argument("--rollout", required=True)
        parser.add_argument("--approver", required=True)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Approve it."""
        rollout = rollout_get(options["rollout"])
        rollout_approve(rollout=rollout, approver=options["approver"], now=timezone.now())
        self.answer(rollout_describe(rollout), as_json=options["json"], text=f"Rollout {rollout.pk} is approved.")
