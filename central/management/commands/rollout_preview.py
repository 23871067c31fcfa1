"""`central rollout_preview`: who would get a release when, and who not and why."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.rollouts.preview import PlannedWave, Preview, rollout_preview
from central.rollouts.services import rollout_get

MEGABYTE = 1_000_000


class Command(CentreCommand):
    """Print what a rollout would do if it started now."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the rollout."""
        parser.add_argument("--rollout", required=True)
        parser.add_argument("--json", action="store_true", help="every school by name")

    def run(self, options: dict[str, Any]) -> None:
        """Print it."""
        preview = rollout_preview(rollout=rollout_get(options["rollout"]), now=timezone.now())
        self.answer(preview, as_json=options["json"], text="\n".join(preview_lines(preview)))


def preview_lines(preview: Preview) -> list[str]:
    """Return one line a wave, and one for each reason why schools get nothing."""
    skipped = Counter(each.reason.value for each in preview.skipped)
    return [
        *(_line(wave) for wave in preview.waves),
        *(f"not at all, {reason}: {number}" for reason, number in sorted(skipped.items())),
    ]


def _line(wave: PlannedWave) -> str:
    return (
        f"{wave.number}. {wave.name}: {len(wave.nodes)} PCs, {wave.size_bytes / MEGABYTE:.1f} MB in all, "
        f"half of them in {wave.days_median:.0f} days, nine in ten in {wave.days_most:.0f}"
    )
