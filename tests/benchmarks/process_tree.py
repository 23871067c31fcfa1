"""How much memory and processor a process and all that it has started take. Source: Linux, proc(5)."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_SECONDS = 0.1
_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """In bytes: `resident` with the pages that mirror files, which the kernel may drop, and `anonymous` without."""

    resident: int = 0
    anonymous: int = 0

    def highest(self, other: Memory) -> Memory:
        """Return the higher of each figure."""
        return Memory(max(self.resident, other.resident), max(self.anonymous, other.anonymous))


def tree_memory(pid: int, *, proc: Path = PROC) -> Memory:
    """Return what the process `pid` and its descendants hold now; those that have ended hold nothing."""
    resident = anonymous = 0
    for each in tree_pids(pid, proc=proc):
        found = process_memory(each, proc=proc)
        resident += found.resident
        anonymous += found.anonymous
    return Memory(resident, anonymous)


def tree_pids(pid: int, *, proc: Path = PROC) -> list[int]:
    """Return `pid`, and behind it its descendants by their ids."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        with contextlib.suppress(OSError):
            for path in (proc / str(found[-1])).glob("task/*/children"):
                waiting += map(int, path.read_text().split())
    return [pid, *sorted(found[1:])]


def process_memory(pid: int, *, proc: Path = PROC) -> Memory:
    """Return what one process holds now; one that has ended holds nothing."""
    try:
        lines = (proc / str(pid) / "status").read_text("utf-8").splitlines()
    except OSError:
        return Memory()
    figures = dict(line.split(":", 1) for line in lines)
    return Memory(_bytes(figures.get("VmRSS")), _bytes(figures.get("RssAnon")))


def processor_seconds(pid: int, *, proc: Path = PROC) -> float:
    """Return how long one process has had a processor since it began; one that has ended had none."""
    try:
        # Behind the name, which may hold spaces: utime and stime are the 14th and 15th figures.
        figures = (proc / str(pid) / "stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(figures[11]) + int(figures[12])) / os.sysconf("SC_CLK_TCK")


def memory_available_bytes(*, proc: Path = PROC) -> int:
    """Return what the kernel calls available."""
    lines = (proc / "meminfo").read_text("utf-8").splitlines()
    return next(_bytes(line.split(":")[1]) for line in lines if line.startswith("MemAvailable:"))


class Watch:
    """Looks at a process tree ten times a second; use it as a context manager.

    `starved` is called once, when less than `floor_bytes` are available on the machine.
    """

    def __init__(self, pid: int, *, floor_bytes: int, starved: Callable[[], None]) -> None:
        """Look at nothing yet."""
        self._pid, self._floor, self._starved = pid, floor_bytes, starved
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._stage = ""
        self.peaks: dict[str, Memory] = {}

    def stage(self, name: str) -> None:
        """Count what is seen from now on to `name`."""
        self._stage = name

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_SECONDS):
            stage = self._stage
            self.peaks[stage] = tree_memory(self._pid).highest(self.peaks.get(stage, Memory()))
            if memory_available_bytes() < self._floor:
                self._starved()
                return


def _bytes(figure: str | None) -> int:
    return int(figure.split()[0]) * _KIBIBYTE if figure else 0
