"""The pure rules of what runs: one state, one function per event, and the file that keeps it.

`current` is what the engine loads. A candidate is tested in a child process first, then it becomes current on trial,
with tries counted down before each load, so that a release that takes the machine down is left behind by itself.
`previous` stays on the disk until the next candidate is on trial.
"""

from __future__ import annotations

import enum
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from federation.trust.durable import durable_write
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.installed.errors import IllegalStep, StateUnreadable

TRIES = 3
STATE_NAME = "state.json"


class Phase(enum.Enum):
    """What stands before the next release can be taken up."""

    EMPTY = "empty"
    TESTING = "testing"
    TRIAL = "trial"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """Digests of the releases in their parts, and how far the candidate is."""

    current: str | None = None
    previous: str | None = None
    candidate: str | None = None
    phase: Phase = Phase.EMPTY
    tries_left: int = 0


def candidate_test_begun(slots: Slots, *, candidate: str) -> Slots:
    """Return the slots with `candidate` under test, one try fewer when its test was cut before.

    Raises:
        IllegalStep: another release is on trial.
    """
    if slots.phase is Phase.TRIAL:
        raise IllegalStep(event="candidate_test_begun", phase=slots.phase.value)
    is_again = slots.phase is Phase.TESTING and slots.candidate == candidate
    tries_left = slots.tries_left if is_again else TRIES
    return replace(slots, candidate=candidate, phase=Phase.TESTING, tries_left=tries_left - 1)


def candidate_test_failed(slots: Slots) -> Slots:
    """Return the slots without the candidate; what ran before runs on.

    Raises:
        IllegalStep: nothing is under test.
    """
    _expect(slots, Phase.TESTING, "candidate_test_failed")
    return _settled(slots, current=slots.current, previous=slots.previous)


def trial_begun(slots: Slots) -> Slots:
    """Return the slots with the tested candidate as current, and what ran before as previous.

    Raises:
        IllegalStep: nothing is under test.
    """
    _expect(slots, Phase.TESTING, "trial_begun")
    return replace(
        slots, current=slots.candidate, previous=slots.current, candidate=None, phase=Phase.TRIAL, tries_left=TRIES
    )


def load_begun(slots: Slots) -> Slots:
    """Return the slots as they must be on the disk before the engine loads: one try fewer, or back at the previous."""
    if slots.phase is not Phase.TRIAL:
        return slots
    if slots.tries_left < 1:
        return trial_reverted(slots)
    return replace(slots, tries_left=slots.tries_left - 1)


def trial_committed(slots: Slots) -> Slots:
    """Return the slots with the release on trial as the one to stay.

    Raises:
        IllegalStep: nothing is on trial.
    """
    _expect(slots, Phase.TRIAL, "trial_committed")
    return _settled(slots, current=slots.current, previous=slots.previous)


def trial_reverted(slots: Slots) -> Slots:
    """Return the slots as before the trial; what was previous then is gone.

    Raises:
        IllegalStep: nothing is on trial.
    """
    _expect(slots, Phase.TRIAL, "trial_reverted")
    return _settled(slots, current=slots.previous, previous=None)


def slots_read(root: Path) -> Slots:
    """Return the slots kept under `root`; empty ones where nothing was ever installed.

    Raises:
        StateUnreadable: the file is there and not in order.
    """
    try:
        return parse(Slots, (root / STATE_NAME).read_bytes())
    except FileNotFoundError:
        return Slots()
    except (OSError, MalformedDocument) as error:
        raise StateUnreadable(path=str(root / STATE_NAME), problem=str(error)) from error


@contextmanager
def slots_locked(root: Path) -> Iterator[None]:
    """Hold the lock under which the slots of `root` are read and written as one step."""
    with (root / "state.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def slots_write(root: Path, slots: Slots) -> None:
    """Keep `slots` under `root`: after a power cut the file holds the old ones or the new ones."""
    durable_write(root / STATE_NAME, canonical_bytes(slots))


def _settled(slots: Slots, *, current: str | None, previous: str | None) -> Slots:
    phase = Phase.COMMITTED if current else Phase.EMPTY
    return replace(slots, current=current, previous=previous, candidate=None, phase=phase, tries_left=0)


def _expect(slots: Slots, phase: Phase, event: str) -> None:
    if slots.phase is not phase:
        raise IllegalStep(event=event, phase=slots.phase.value)
