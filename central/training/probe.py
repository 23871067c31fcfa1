"""Has a round's updates tried on known corrections, in a process that ends (`federation.learning.probe`).

What came of an update is kept as soon as it is known, so a trying that was cut goes on with the next one.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TypeAlias

from central.disk import CentreDisk
from central.training.errors import ProbeFailed
from central.training.known_corrections import known_corrections
from central.training.learning_process import TREE, process_words, reason_of
from central.training.models import Round, Update, UpdateStatus
from central.training.services import kept_path
from central.training.start import Start, adopted_of, start_of_round
from federation.learning.probe_task import ProbeTask, Tried, TriedUpdate
from federation.learning.stored_update import stored_header
from federation.wire.canonical import canonical_bytes, parse

LOGGER = logging.getLogger(__name__)
MODULE = "federation.learning.probe"
UPDATES_A_PROCESS = 100
"""Bounds the task that is written for it."""

Probe: TypeAlias = Callable[[Round, Start, ProbeTask, CentreDisk], Iterator[Tried]]


def updates_try(*, round_: Round, updates: Sequence[Update], disk: CentreDisk, probe: Probe) -> None:
    """Note in each update's figures what it gains on known corrections, over the adapter that its season has come to.

    Those that were tried on that adapter already are left as they are, and those for which no correction is known.

    Raises:
        ProbeFailed: says why they cannot be tried.
        MalformedUpdate, MalformedDocument: the disk no longer holds what was accepted.
        AdapterDamaged: the released adapter cannot be read back.
    """
    # Asked at each look of a round that is due, and hardly ever is one untried: then only is the adapter read.
    adopted = adopted_of(round_.season)
    untried = [update for update in updates if update.figures.get("tried_on") != adopted]
    if not untried:
        return
    start = start_of_round(round_.season, disk)
    for begin in range(0, len(untried), UPDATES_A_PROCESS):
        _some_try(round_, start, untried[begin : begin + UPDATES_A_PROCESS], disk, probe)


def probe_measured(round_: Round, start: Start, task: ProbeTask, disk: CentreDisk) -> Iterator[Tried]:
    """Yield what each update of `task` gains, by a process that reads the base once.

    Raises:
        ProbeFailed: it ended badly.
    """
    disk.builds.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=disk.builds, prefix="probe-") as scratch, TemporaryFile("w+") as complaints:
        asked = Path(scratch) / "task.json"
        asked.write_bytes(canonical_bytes(task))
        words = [*process_words(MODULE, round_, start, Path(scratch), disk), "--task", str(asked)]
        with subprocess.Popen(words, cwd=TREE, stdout=subprocess.PIPE, stderr=complaints, text=True) as child:
            for line in child.stdout or ():
                yield parse(Tried, line.encode())
        if child.returncode:
            complaints.seek(0)
            raise ProbeFailed(reason=reason_of(complaints.read(), child.returncode))


def _some_try(round_: Round, start: Start, untried: Sequence[Update], disk: CentreDisk, probe: Probe) -> None:
    paths = {update.pk: kept_path(update=update, disk=disk) for update in untried}
    made_at = {}
    for pk, path in paths.items():
        # The file of one whose school has withdrawn meanwhile is gone.
        with suppress(FileNotFoundError):
            made_at[pk] = stored_header(path).made_at
    kept = [update for update in untried if update.pk in made_at]
    known = known_corrections(kept, made_at=made_at)
    places = {update.pk: (*known.others[update.pk], *known.own[update.pk]) for update in kept}
    by_digest = {update.digest: update for update in kept if places[update.pk]}
    if not by_digest:
        return
    task = ProbeTask(
        corrections=known.corrections,
        updates=tuple(
            TriedUpdate(digest=digest, path=str(paths[update.pk]), places=places[update.pk])
            for digest, update in by_digest.items()
        ),
    )
    for tried in probe(round_, start, task, disk):
        update = by_digest[tried.digest]
        others = len(known.others[update.pk])
        gains = {"own_gain": _mean(tried.gains[others:]), "others_gain": _mean(tried.gains[:others])}
        LOGGER.info("update %s of node %s was tried: %s", update.digest[:12], update.node_id, gains)
        figures = {**update.figures, **gains, "tried_on": start.adopted}
        Update.objects.filter(pk=update.pk, status=UpdateStatus.ACCEPTED).update(figures=figures)


def _mean(gains: Sequence[float]) -> float | None:
    return sum(gains) / len(gains) if gains else None
