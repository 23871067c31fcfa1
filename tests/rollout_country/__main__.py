"""Plays scenarios in a process of its own, on a new database each, and prints a line of JSON for each that is done."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.rollout_country import NAMES


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="+", choices=NAMES)
    parser.add_argument("--schools", type=int, required=True)
    arguments = parser.parse_args()
    # In memory where there is such a folder: a play flushes a file to the disk a hundred thousand times.
    memory = Path("/dev/shm")  # noqa: S108 - the folder made in it has a random name
    with tempfile.TemporaryDirectory(prefix="soro-rollouts-", dir=memory if memory.is_dir() else None) as folder:
        os.environ |= {
            "SORO_CENTRAL_ROOT": folder,
            "SORO_CENTRAL_BROKER_URL": "memory://",
            "SORO_CENTRAL_DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "central.settings",
        }
        _play_all(Path(folder), arguments.scenarios, arguments.schools)


def _play_all(root: Path, names: list[str], schools: int) -> None:
    import django  # noqa: PLC0415 - the root must be named first

    django.setup()
    # A play of months says millions of lines.
    logging.disable(logging.CRITICAL)
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    from tests.rollout_country.play import Play  # noqa: PLC0415
    from tests.rollout_country.scenarios import SCENARIOS  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    connection.close()
    database = root / "central.sqlite3"
    shutil.copy(database, root / "empty.sqlite3")
    for name in names:
        shutil.copy(root / "empty.sqlite3", database)
        started = time.monotonic()
        play = Play(SCENARIOS[name], schools=schools, progress=lambda words, name=name: _say(f"{name}: {words}"))
        found = play.run()
        found["seconds"] = time.monotonic() - started
        found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        connection.close()
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
