"""`central season_open`: ask schools to learn on a base release, round after round."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.releases.package_slots import slot_sizes
from central.releases.services import release_find
from central.training.describe import season_describe
from central.training.models import SchemeChoice, SeasonMode
from central.training.plan_settings import LEAST_DAYS, ROUND_DAYS, StepsChoice, plan_settings
from central.training.seasons import season_open
from central.trust_root import director_key
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import SchemeName


class Command(CentreCommand):
    """Open a season; the worker starts the Flower run of its first round."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the base, how many updates make a round, and how they are combined."""
        parser.add_argument("--base", required=True, help="its version or digest")
        parser.add_argument("--wanted", type=int, default=10, help="schools a round (default: 10)")
        days = f"that a round collects at least (default: {LEAST_DAYS})"
        parser.add_argument(
            "--least-days", type=int, choices=range(ROUND_DAYS + 1), default=LEAST_DAYS, metavar="DAYS", help=days
        )
        parser.add_argument("--scheme", choices=SchemeChoice.values, default=SchemeChoice.FFA_LORA)
        parser.add_argument(
            "--steps",
            choices=list(StepsChoice),
            default=StepsChoice.NATURAL,
            help="how schools learn (default: natural)",
        )
        parser.add_argument("--fusion", choices=list(Fusion), default=Fusion.LEAST_SQUARES)
        parser.add_argument("--mode", choices=SeasonMode.values, default=SeasonMode.PLAIN)
        parser.add_argument("--mode-settings", type=json.loads, default={}, help="JSON (docs/operations.md)")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Open it."""
        base = release_find(options["base"])
        season = season_open(
            base=base,
            slot_sizes=slot_sizes(base),
            wanted=options["wanted"],
            key=director_key(),
            actor="command line",
            now=timezone.now(),
            scheme=SchemeName(options["scheme"]),
            mode=SeasonMode(options["mode"]),
            mode_settings=options["mode_settings"],
            settings=plan_settings(
                steps=StepsChoice(options["steps"]),
                fusion=Fusion(options["fusion"]),
                least_days=options["least_days"],
            ),
        )
        self.answer(season_describe(season), as_json=options["json"], text=f"Season {season.season_id} is open.")
