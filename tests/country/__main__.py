"""Plays a country in a process of its own and prints what came of it as JSON; the centre's root is a new folder."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path


class Progress:
    """Says on the standard error how far a play has come, and how long the rest will take at the pace of late."""

    def __init__(self, days: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._days, self._clock = days, clock
        self._began = self._yesterday = clock()
        self._pace = 0.0

    def day_over(self, day: int) -> None:
        """Tell that so many days are over."""
        now = self._clock()
        took, self._yesterday = now - self._yesterday, now
        # Early days have fewer updates: the newest third of a week counts most.
        self._pace = took if day == 1 else 0.7 * self._pace + 0.3 * took
        left = self._pace * (self._days - day)
        sys.stderr.write(f"day {day} of {self._days:g}, {now - self._began:.0f} s so far, some {left:.0f} s left\n")


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, required=True)
    parser.add_argument("--days", type=float, required=True)
    parser.add_argument("--wanted", type=int, required=True)
    arguments = parser.parse_args()
    # In memory where there is such a folder: a play flushes a file to the disk a hundred thousand times.
    memory = Path("/dev/shm")  # noqa: S108 - the folder made in it has a random name
    with tempfile.TemporaryDirectory(prefix="soro-country-", dir=memory if memory.is_dir() else None) as folder:
        os.environ |= {
            "SORO_CENTRAL_ROOT": folder,
            "SORO_CENTRAL_BROKER_URL": "memory://",
            "DJANGO_SETTINGS_MODULE": "central.settings",
        }
        sys.stdout.write(json.dumps(_play(Path(folder), arguments)))


def _play(root: Path, arguments: argparse.Namespace) -> dict[str, object]:
    import django  # noqa: PLC0415 - the root must be named first

    django.setup()
    # A play of months says millions of lines.
    logging.disable(logging.ERROR)
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    from central.disk import CentreDisk  # noqa: PLC0415
    from tests.country.play import Play, Script  # noqa: PLC0415
    from tests.country.tally import tally  # noqa: PLC0415

    script = Script(schools=arguments.schools, days=arguments.days, wanted=arguments.wanted)
    started = time.monotonic()
    play = Play(script, disk=CentreDisk(root), day_over=Progress(script.days).day_over)
    enrolled = time.monotonic()
    busy = time.process_time()
    play.run()
    seconds, busy_seconds = time.monotonic() - enrolled, time.process_time() - busy
    found = asdict(tally(play))
    return found | {
        "enrol_seconds": enrolled - started,
        "seconds": seconds,
        "busy_seconds": busy_seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "runs": play.runs,
        "run_kills": play.run_kills,
        "worker_kills": play.centre.worker_kills,
        "destroyed_answers": play.grid.destroyed_answers,
        "lost_uploads": play.grid.lost_uploads,
        "counts": dict(play.counts),
    }


if __name__ == "__main__":
    main()
