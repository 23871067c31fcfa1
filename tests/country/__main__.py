"""Plays a country in a process of its own and prints what came of it as JSON; the centre's root is a new folder.

With `--keep` a play that was cut goes on from the day at which it was kept last.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.country.kept import Kept, KeptPlay, Spent
from tests.country.progress import Progress

if TYPE_CHECKING:
    from tests.country.play import Play

KEPT_DAYS = 5.0
"""How often a play is kept: it takes some seconds."""


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, required=True)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--wanted", type=int, required=True)
    parser.add_argument("--keep", type=Path, help="a folder for the state of the play")
    arguments = parser.parse_args()
    keeping = KeptPlay(arguments.keep) if arguments.keep else None
    root = keeping.root_restore() if keeping else None
    if root is None:
        # In memory where there is such a folder: a play flushes a file to the disk a hundred thousand times.
        memory = Path("/dev/shm")  # noqa: S108 - the folder made in it has a random name
        root = Path(tempfile.mkdtemp(prefix="soro-country-", dir=memory if memory.is_dir() else None))
    os.environ |= {
        "SORO_CENTRAL_ROOT": str(root),
        "SORO_CENTRAL_BROKER_URL": "memory://",
        "DJANGO_SETTINGS_MODULE": "central.settings",
    }
    try:
        sys.stdout.write(json.dumps(_play(root, arguments, keeping)))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _play(root: Path, arguments: argparse.Namespace, keeping: KeptPlay | None) -> dict[str, object]:
    import django  # noqa: PLC0415 - the root must be named first

    django.setup()
    # A play of months says millions of lines.
    logging.disable(logging.ERROR)
    from tests.country.tally import tally  # noqa: PLC0415

    began = time.monotonic()
    kept = keeping.play_restore() if keeping else None
    if kept is None:
        kept = Kept(play=_begin(root, arguments), spent=Spent(enrol_seconds=time.monotonic() - began))
    # What is there from the beginning stays: nothing is gained by looking through it again and again.
    gc.freeze()
    play = kept.play
    sitting = Sitting(play=play, before=kept.spent, keeping=keeping, root=root)
    play.run(sitting.days_over)
    found, spent = asdict(tally(play)), sitting.spent()
    if keeping is not None:
        keeping.forget()
    return found | {
        **asdict(spent),
        "runs": play.runs,
        "run_kills": play.run_kills,
        "worker_kills": play.centre.worker_kills,
        "destroyed_answers": play.grid.destroyed_answers,
        "lost_uploads": play.grid.lost_uploads,
        "counts": dict(play.counts),
    }


def _begin(root: Path, arguments: argparse.Namespace) -> Play:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    from central.disk import CentreDisk  # noqa: PLC0415
    from tests.country.play import Play, Script  # noqa: PLC0415

    script = Script(schools=arguments.schools, days=arguments.days, wanted=arguments.wanted)
    return Play(script, disk=CentreDisk(root))


@dataclass(kw_only=True)
class Sitting:
    """What one process plays of a play."""

    play: Play
    before: Spent
    keeping: KeptPlay | None
    root: Path
    _began: float = field(default_factory=time.monotonic)
    _busy: float = field(default_factory=time.process_time)

    def __post_init__(self) -> None:
        script, self._kept_at = self.play.script, self.play.world.days
        self._progress = Progress(schools=script.schools, days=script.days, done=self._kept_at)

    def days_over(self, days: float) -> None:
        """Tell of days that are over, and keep the play now and then."""
        self._progress.days_over(days)
        if self.keeping is not None and days >= self._kept_at + KEPT_DAYS:
            from django.db import connections  # noqa: PLC0415

            connections.close_all()
            self.keeping.keep(Kept(play=self.play, spent=self.spent()), root=self.root)
            self._kept_at = days

    def spent(self) -> Spent:
        """Return what the play has taken, in this process and in those before it."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Spent(
            enrol_seconds=self.before.enrol_seconds,
            seconds=self.before.seconds + time.monotonic() - self._began,
            busy_seconds=self.before.busy_seconds + time.process_time() - self._busy,
            peak_bytes=max(self.before.peak_bytes, peak),
        )


if __name__ == "__main__":
    main()
