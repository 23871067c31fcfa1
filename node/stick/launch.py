"""Start the reading or writing of a stick in a process of its own: it may take minutes, and a page must not wait."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

from node.children import child_environment, command_argv
from node.stick.models import StickTrip

_COMMANDS = {StickTrip.Way.BRING_IN: "import", StickTrip.Way.WRITE_OUT: "export"}


def trip_launch(*, root: Path, trip: StickTrip) -> None:
    """Let another process make the trip; what becomes of it stands in its row, and its words in `logs/stick.log`."""
    (root / "logs").mkdir(parents=True, exist_ok=True)
    argv = command_argv("bundle", _COMMANDS[StickTrip.Way(trip.way)], "--trip", str(trip.pk), "--", trip.place)
    with (root / "logs" / "stick.log").open("ab") as log:
        child = subprocess.Popen(
            argv, env=child_environment(root), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    # Its end has to be waited for by somebody, or it stays in the table of processes.
    threading.Thread(target=child.wait, daemon=True).start()
