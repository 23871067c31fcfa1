"""What systemd does for the units of one folder, as far as Soro's own units and programs ask for it.

`ACCEPTANCE_UNITS` names the folder, laid out like a PC's root. `start` runs a unit's own ExecStart with its own
settings, below that folder; `stop` ends it, with all its processes. What ends by itself is not started again, so that a
failure is seen; users, rights and resources that a unit names are left out. Standard library only, because it is
started in the place of systemctl by programs with packages of their own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

FOLDER_VARIABLE = "ACCEPTANCE_UNITS"
UNITS = Path("etc/systemd/system")
STOP_SECONDS = 30.0
IGNORED = ("daemon-reload", "enable", "disable", "reset-failed")


def main(words: Sequence[str]) -> int:
    """Do what systemctl would have been asked for; return its status."""
    root = Path(os.environ[FOLDER_VARIABLE])
    verb, *names = [word for word in words if not word.startswith("-")]
    # A timer would start things behind the back of whoever counts them.
    units = [Unit(root, name) for name in names if not name.endswith(".timer")]
    if verb in IGNORED:
        return 0
    for unit in units:
        if verb in ("stop", "restart"):
            unit.stop()
        if verb in ("start", "restart") and not unit.start():
            return 1
    return 0


class Unit:
    """One unit of the folder `root`."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.lines = (root / UNITS / name).read_text(encoding="utf-8").splitlines()
        self.log = root / "run" / f"{name}.log"
        self._pid_path = root / "run" / f"{name}.pid"

    def values(self, key: str) -> list[str]:
        """Return what its lines say of `key`, in order."""
        return [line.partition("=")[2] for line in self.lines if line.partition("=")[0] == key]

    def start(self) -> bool:
        """Start it, or what it wants; tell whether that went well."""
        if self.name.endswith(".target"):
            return all(Unit(self.root, name).start() for line in self.values("Wants") for name in line.split())
        if self.pid:
            return True
        self.log.parent.mkdir(exist_ok=True)
        environment = self._environment()
        commands = [self._argv(text, environment) for text in self.values("ExecStart") + self.values("ExecStartPost")]
        with self.log.open("ab") as log:
            if self.values("Type") == ["oneshot"]:
                return all(_succeeds(argv, environment, log) for argv in commands)
            (argv,) = commands
            child = subprocess.Popen(argv, env=environment, stdout=log, stderr=log, start_new_session=True)
        self._pid_path.write_text(str(child.pid))
        return True

    def stop(self) -> None:
        """Return when nothing of it runs any more."""
        pid = self.pid
        if pid:
            sign = self.values("KillSignal") or ["SIGTERM"]
            os.kill(pid, signal.Signals[sign[0]])
            until = time.monotonic() + STOP_SECONDS
            while self.pid and time.monotonic() < until:
                time.sleep(0.1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self._pid_path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The id of its first process, 0 where that does not run."""
        try:
            pid = int(self._pid_path.read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return 0
        return 0 if state == "Z" else pid

    def _environment(self) -> dict[str, str]:
        found = dict(os.environ)
        for line in self.values("Environment"):
            found |= dict(word.split("=", 1) for word in shlex.split(line))
        for name in self.values("EnvironmentFile"):
            lines = (self.root / name.lstrip("/")).read_text(encoding="utf-8").splitlines()
            found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        found |= {name: self._below(value) for name, value in found.items() if name.endswith("_ROOT")}
        return found

    def _argv(self, text: str, environment: dict[str, str]) -> list[str]:
        filled = re.sub(r"\$\{(\w+)\}", lambda name: environment[name[1]], text)
        return [self._below(word) for word in shlex.split(filled)]

    def _below(self, path: str) -> str:
        """Return where the absolute `path` of a unit lies in this folder; a path that does not is taken as it is."""
        moved = self.root / path.lstrip("/")
        return str(moved) if path.startswith("/") and not path.startswith(str(self.root)) else path


def _succeeds(argv: Sequence[str], environment: dict[str, str], log: BinaryIO) -> bool:
    return subprocess.run(argv, env=environment, stdout=log, stderr=log, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
