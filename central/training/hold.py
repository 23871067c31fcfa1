"""Has the centre's own part of a round measured, in a process that ends (`federation.learning.hold`)."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from central.disk import CentreDisk
from central.training.errors import HoldFailed
from central.training.learning_process import TREE, process_words, reason_of
from central.training.models import Round
from central.training.plans import settings_of
from central.training.start import Start
from federation.learning.arrays_file import arrays_read
from federation.learning.schemes.contribution import Contribution, Hold
from federation.wire.rounds import SchemeName

MODULE = "federation.learning.hold"
PROSE_FILE = Path(__file__).parent / "prose.txt"
"""Passages in the schools' languages, one a line, written for the project: none is of what the gate reads."""
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
    """Return the centre's own part, by a process that reads the base, once through all passages and back.

    Raises:
        HoldFailed: it ended badly.
    """
    disk.builds.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=disk.builds, prefix="hold-") as scratch:
        out = Path(scratch) / "arrays.npz"
        words = process_words(MODULE, round_, start, Path(scratch), disk)
        words += ["--prose", str(PROSE_FILE), "--out", str(out)]
        ended = subprocess.run(words, cwd=TREE, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise HoldFailed(reason=reason_of(ended.stderr, ended.returncode))
        arrays = arrays_read(out.read_bytes())
    return Hold(contribution=Contribution(node_id=NAME, labels=1, staleness=0, arrays=arrays), weight=weight)
