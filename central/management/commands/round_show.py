"""`central round_show`: how a round gets on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import ShowCommand
from central.training.describe import round_describe
from central.training.models import Round
from central.training.rounds import round_get


class Command(ShowCommand):
    """Print a round, with the release that comes of it."""

    help = __doc__ or ""

    def add_row(self, parser: ArgumentParser) -> None:
        """Take the round."""
        parser.add_argument("--round", required=True)

    def row(self, options: dict[str, Any]) -> Round:
        """Return the round."""
        return round_get(options["round"])

    def describe(self, row: Round) -> dict[str, Any]:
        """Return all of it."""
        return round_describe(row)

    def line(self, description: dict[str, Any]) -> str:
        """Return the round's status, its updates, and how its release gets on."""
        words = f"{description['status']}: {description['accepted']} of {description['wanted']} updates"
        for status in ("refused", "quarantined", "withdrawn"):
            if description[status]:
                words += f", {description[status]} {status}"
        if description["release_status"]:
            words += f"; release {description['release_version']} {description['release_status']}"
        if description["release_stage"]:
            words += f": {description['release_stage']} {description['release_share']:.0%}"
        if description["release_why"]:
            words += f" ({description['release_why']})"
        return words
