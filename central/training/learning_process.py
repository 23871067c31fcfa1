"""Starts a process of `federation.learning` beside a round: torch and the base do not stay in a worker's memory."""

from __future__ import annotations

import sys
from pathlib import Path

from central.disk import CentreDisk
from central.releases.measure import THREADS
from central.releases.services import release_folder
from central.training.models import Round
from central.training.plans import plan_of
from central.training.start import ADAPTER_NAME, Start
from federation.wire.canonical import canonical_bytes

TREE = Path(__file__).resolve().parents[2]
_LONGEST = 300


def process_words(module: str, round_: Round, start: Start, scratch: Path, disk: CentreDisk) -> list[str]:
    """Return the command that has `module` open the round's base and `start`; the plan that it reads is in `scratch`.

    It is to run in `TREE`.
    """
    base, plan = round_.season.base, scratch / "plan.json"
    plan.write_bytes(canonical_bytes(plan_of(round_.season.plans.order_by("pk")[0])))
    # Schools may run other forms of the base; what is measured is the words, not one form's rounding.
    package = release_folder(release=base, disk=disk, variant=min(base.cards))
    words = [sys.executable, "-m", module, "--plan", plan, "--package", package, "--threads", THREADS]
    if start.round is not None and start.round.release is not None:
        words += ["--start", release_folder(release=start.round.release, disk=disk) / ADAPTER_NAME]
    return [str(word) for word in words]


def reason_of(said: str, status: int) -> str:
    """Return why a process ended badly: its last line, or its status where it said nothing."""
    lines = said.strip().splitlines()
    return lines[-1][-_LONGEST:] if lines else f"status {status}"
