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
from dataclasses import asdict
from pathlib import Path


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
    play = Play(script, disk=CentreDisk(root))
    enrolled = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    play.run()
    seconds = time.monotonic() - enrolled
    found = asdict(tally(play))
    return found | {
        "enrol_seconds": enrolled - started,
        "seconds": seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "peak_bytes_enrolled": before * 1024,
        "runs": play.runs,
        "run_kills": play.run_kills,
        "worker_kills": play.centre.worker_kills,
        "destroyed_answers": play.grid.destroyed_answers,
        "lost_uploads": play.grid.lost_uploads,
        "counts": dict(play.counts),
    }


if __name__ == "__main__":
    main()
