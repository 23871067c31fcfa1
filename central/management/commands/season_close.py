"""`central season_close`: take no more updates in; what has been accepted is combined once more."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.training.describe import season_describe
from central.training.seasons import season_close, season_get


class Command(CentreCommand):
    """Close a season."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the season."""
        parser.add_argument("--season", required=True)
        parser.add_argument("--reason", default="command line")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Close it."""
        season = season_get(options["season"])
        season_close(season=season, actor="command line", reason=options["reason"], now=timezone.now())
        self.answer(season_describe(season), as_json=options["json"], text=f"Season {season.season_id} is closed.")
