"""`central rollout_show`: how a rollout gets on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import CentreCommand
from central.rollouts.describe import rollout_describe
from central.rollouts.services import rollout_get


class Command(CentreCommand):
    """Print a rollout with its waves."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the rollout."""
        parser.add_argument("--rollout", required=True)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Print it."""
        description = rollout_describe(rollout_get(options["rollout"]))
        waves = ", ".join(f"{wave['name']}: {wave['status']}" for wave in description["waves"])
        self.answer(description, as_json=options["json"], text=f"{description['status']}; {waves}")
