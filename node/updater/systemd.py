"""The service `soro.service`, as systemd keeps it."""

from __future__ import annotations

import subprocess

from federation.errors import TransportError

UNIT = "soro.service"


class ServiceStuck(TransportError):
    """systemd would not `verb` the service; `problem` is what it said."""

    code = "service_stuck"


class SystemdService:
    """Starts and stops the school's page with all its processes."""

    def stop(self) -> None:
        """Return when nothing of it runs any more.

        Raises:
            ServiceStuck: systemd refuses.
        """
        _systemctl("stop")

    def start(self) -> None:
        """Return when it was started, if it did not run.

        Raises:
            ServiceStuck: systemd refuses.
        """
        # A program that has ended too often in a row is else refused its next start.
        _systemctl("reset-failed")
        _systemctl("start")


def _systemctl(verb: str) -> None:
    ended = subprocess.run(["systemctl", verb, UNIT], capture_output=True, text=True, check=False)
    if ended.returncode and verb != "reset-failed":
        raise ServiceStuck(verb=verb, problem=ended.stderr.strip()[-300:])
