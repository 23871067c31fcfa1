"""The folders of a build's steps: finished or not, one build at a time, and nothing of a dead one left.

A folder `NAME-KEY` is finished once it holds a mark. Of one that a cut has left unfinished only the file stays from
which the step can go on. The disk's own scratch folders, whose names begin with a dot, go too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from central.releases.packaging.errors import BuildUnderWay

FINISHED = ".finished"
# What a step has kept to go on from after a cut.
STATES = "states.pt"
_STEP = re.compile(r"[a-z]+-[0-9a-f]{16}")
_LOCK = ".lock"


@contextmanager
def steps_hold(work: Path) -> Iterator[None]:
    """Hold the folder `work` for one build, with what dead builds have left there swept away.

    Raises:
        BuildUnderWay: another process holds it. Nothing was swept then.
    """
    work.mkdir(parents=True, exist_ok=True)
    # The kernel lets go of the lock with the process, however that ends.
    with (work / _LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildUnderWay(work=str(work)) from error
        for folder in [path for path in work.iterdir() if path.is_dir()]:
            if folder.name.startswith("."):
                shutil.rmtree(folder)
            elif _STEP.fullmatch(folder.name) and not (folder / FINISHED).exists():
                step_clear(folder)
        yield


def step_finish(folder: Path) -> None:
    """Mark a step as finished, once its files are safe on the disk."""
    os.sync()
    (folder / FINISHED).touch()


def step_clear(folder: Path) -> None:
    """Remove the unfinished step `folder`, but for the states that it can go on from."""
    states = folder / STATES
    if not states.exists():
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != states:
            path.unlink()
