"""`central season_show`: how a season gets on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import ShowCommand
from central.training.describe import season_describe
from central.training.models import Season
from central.training.seasons import season_get


class Command(ShowCommand):
    """Print a season, with its plans and rounds."""

    help = __doc__ or ""

    def add_row(self, parser: ArgumentParser) -> None:
        """Take the season."""
        parser.add_argument("--season", required=True)

    def row(self, options: dict[str, Any]) -> Season:
        """Return the season."""
        return season_get(options["season"])

    def describe(self, row: Season) -> dict[str, Any]:
        """Return all of it."""
        return season_describe(row)

    def line(self, description: dict[str, Any]) -> str:
        """Return the season's status, its mode, and how its last round gets on."""
        last = description["rounds"][-1]
        return (
            f"{description['status']}, {description['scheme']}, {description['mode']}: "
            f"{description['version']} adapters adopted; round {last['number']} {last['status']}, "
            f"{last['accepted']} of {last['wanted']} updates"
        )
