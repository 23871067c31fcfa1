"""`central round_show`: how a round gets on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import CentreCommand
from central.training.describe import round_describe
from central.training.services import round_get


class Command(CentreCommand):
    """Print a round."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the plan."""
        parser.add_argument("--plan", required=True)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Print it."""
        description = round_describe(round_get(options["plan"]))
        text = f"{description['status']}: {description['accepted']} of {description['wanted']} updates"
        self.answer(description, as_json=options["json"], text=text)
