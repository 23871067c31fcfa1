"""`central rollout_show`: how a rollout gets on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import ShowCommand
from central.rollouts.describe import rollout_describe
from central.rollouts.models import Rollout
from central.rollouts.services import rollout_get


class Command(ShowCommand):
    """Print a rollout with its waves."""

    help = __doc__ or ""

    def add_row(self, parser: ArgumentParser) -> None:
        """Take the rollout."""
        parser.add_argument("--rollout", required=True)

    def row(self, options: dict[str, Any]) -> Rollout:
        """Return the rollout."""
        return rollout_get(options["rollout"])

    def describe(self, row: Rollout) -> dict[str, Any]:
        """Return all of it."""
        return rollout_describe(row)

    def line(self, description: dict[str, Any]) -> str:
        """Return the rollout's status and how many schools of each wave run the release."""
        waves = "; ".join(
            f"{wave['name']}: {wave['status']}, {wave['counts']['committed']} of {len(wave['assignments'])}"
            for wave in description["waves"]
        )
        reason = f" ({description['pause_reason']})" if description["pause_reason"] else ""
        return f"{description['status']}{reason}; {waves}"
