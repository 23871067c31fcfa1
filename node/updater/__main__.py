"""`python -m node.updater`: what `soro-update.service` starts, as root, every few minutes and as the PC starts."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from federation.errors import FederationError, TrustError
from node.programs.place import ProgramPlace
from node.updater.systemd import SystemdService
from node.updater.updating import Patience, Updater

_log = logging.getLogger("node.updater")
LOCK_NAME = "lock"


def main() -> int:
    """Run the updater once; another one, or an installation from a stick, is left alone."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    parser = argparse.ArgumentParser(prog="soro-update", description=__doc__)
    parser.add_argument("--opt", type=Path, default=Path("/opt/soro"), help="where the program lies")
    parser.add_argument("--data", type=Path, default=Path("/var/lib/soro"), help="where the school's data lies")
    parser.add_argument("--port", type=int, default=int(os.environ.get("SORO_PORT", "80")), help="the page's")
    usual = Patience()
    parser.add_argument("--serving-seconds", type=float, default=usual.serving_seconds, help="how long to wait for it")
    parser.add_argument("--settle-seconds", type=float, default=usual.settle_seconds, help="between its two answers")
    options = parser.parse_args()
    with (options.opt / LOCK_NAME).open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        updater = Updater(
            place=ProgramPlace(opt=options.opt),
            data=options.data,
            port=options.port,
            service=SystemdService(),
            clock=lambda: datetime.now(UTC),
            patience=replace(usual, serving_seconds=options.serving_seconds, settle_seconds=options.settle_seconds),
        )
        try:
            updater.run()
        except TrustError as refusal:
            # Nothing that trying again would mend; the next fetched program is looked at again.
            _log.warning("the program that lies ready is not taken: %s", refusal)
        except FederationError as error:
            _log.warning("the update goes on later: %s", error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
