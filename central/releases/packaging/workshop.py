"""Where a build's finished steps are kept: a cut build goes on where it was, a second one only copies."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from central.releases.packaging.checkpoint import Progress
from central.releases.packaging.step_folder import FINISHED, step_clear

_log = logging.getLogger(__name__)
_STEPS = "4"


@dataclass(frozen=True)
class Workshop:
    """Where finished steps are kept, how far the build is told to be, and how many threads it may use."""

    work: Path
    progress: Progress
    threads: int

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[float], None]]:
        """Tell the beginning and the end of the step `name` and log its seconds; yields how to tell the part done."""
        started = time.monotonic()
        self.progress(name, 0.0)
        yield lambda part: self.progress(name, part)
        self.progress(name, 1.0)
        _log.info("package: %s took %.1f s", name, time.monotonic() - started)

    def place(self, name: str, *causes: str) -> tuple[Path, bool]:
        """Return the folder of step `name` for `causes`, and whether it is already finished.

        Of what a cut left of an unfinished step only the states stay that it can go on from.
        """
        key = hashlib.sha256("\n".join([_STEPS, *causes]).encode()).hexdigest()[:16]
        folder = self.work / f"{name}-{key}"
        if (folder / FINISHED).exists():
            return folder, True
        step_clear(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder, False
