"""Has the centre's own part of a round measured, in a process that ends (`federation.learning.hold`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from central.disk import CentreDisk
from central.releases.measure import THREADS
from central.releases.services import release_folder
from central.training.anchors import ANCHORS_FILE
from central.training.errors import HoldFailed
from central.training.models import Round
from central.training.plans import plan_of, settings_of
from central.training.start import ADAPTER_NAME, Start
from federation.learning.arrays_file import arrays_read
from federation.learning.schemes.contribution import Contribution, Hold
from federation.wire.canonical import canonical_bytes
from federation.wire.rounds import SchemeName

MODULE = "federation.learning.hold"
TREE = Path(__file__).resolve().parents[2]
NAME = "centre"

HoldMeasure: TypeAlias = Callable[[Round, Start, float, CentreDisk], Hold]


def hold_of_round(round_: Round, start: Start, disk: CentreDisk, measure: HoldMeasure) -> Hold | None:
    """Return what the centre adds to a round that goes on from `start`; None where its season takes Adam's steps.

    Raises:
        HoldFailed: says why it cannot be measured.
    """
    season = round_.season
    natural = settings_of(season).natural_of(SchemeName(season.scheme))
    return None if natural is None or natural.hold == 0 else measure(round_, start, natural.hold, disk)


def hold_measured(round_: Round, start: Start, weight: float, disk: CentreDisk) -> Hold:
    """Return the centre's own part, by a process that reads the base, once through all anchors and back.

    Raises:
        HoldFailed: it ended badly.
    """
    base, plan = round_.season.base, plan_of(round_.season.plans.order_by("pk")[0])
    disk.builds.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=disk.builds, prefix="hold-") as scratch:
        asked, out = Path(scratch) / "plan.json", Path(scratch) / "arrays.npz"
        asked.write_bytes(canonical_bytes(plan))
        words = [sys.executable, "-m", MODULE, "--plan", asked, "--anchors", ANCHORS_FILE, "--out", out]
        # Schools may run other forms of the base; what is held is the words, not one form's rounding.
        words += ["--package", release_folder(release=base, disk=disk, variant=min(base.cards)), "--threads", THREADS]
        if start.round is not None and start.round.release is not None:
            words += ["--start", release_folder(release=start.round.release, disk=disk) / ADAPTER_NAME]
        ended = subprocess.run([str(word) for word in words], cwd=TREE, capture_output=True, text=True, check=False)
        if ended.returncode:
            said = ended.stderr.strip().splitlines()
            raise HoldFailed(reason=said[-1][-300:] if said else f"status {ended.returncode}")
        arrays = arrays_read(out.read_bytes())
    return Hold(contribution=Contribution(node_id=NAME, labels=1, staleness=0, arrays=arrays), weight=weight)
