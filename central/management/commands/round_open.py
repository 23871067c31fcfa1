"""`central round_open`: ask schools to learn on a base release."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.releases.package_slots import slot_columns
from central.releases.services import release_find
from central.training.describe import round_describe
from central.training.services import round_open
from central.trust_root import director_key


class Command(CentreCommand):
    """Open a round; the worker starts its Flower run."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the base and how many updates are wanted."""
        parser.add_argument("--base", required=True, help="its version or digest")
        parser.add_argument("--wanted", type=int, default=10)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Open it."""
        base = release_find(options["base"])
        round_ = round_open(
            base=base,
            slot_columns=slot_columns(base),
            wanted=options["wanted"],
            key=director_key(),
            actor="command line",
            now=timezone.now(),
        )
        self.answer(round_describe(round_), as_json=options["json"], text=f"Round {round_.plan_id} is open.")
