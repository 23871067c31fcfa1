"""Keeps the step that a round has taken, for the next one of a season with momentum.

It cannot be read back out of the adapters: those are rounded, and a scheme of products knows no difference of factors.
"""

from __future__ import annotations

from central.disk import CentreDisk
from central.training.models import Round
from federation.learning.arrays_file import arrays_bytes, arrays_read
from federation.learning.schemes.contribution import Delta
from federation.trust.durable import durable_write


def velocity_keep(round_: Round, velocity: Delta, disk: CentreDisk) -> None:
    """Leave the round's step on the disk; it counts once the round's adapter is adopted."""
    disk.velocities.mkdir(parents=True, exist_ok=True)
    durable_write(disk.velocities / f"{round_.round_id}.npz", arrays_bytes(velocity))


def velocity_read(round_: Round | None, disk: CentreDisk) -> Delta | None:
    """Return the step of the round that the next one starts from; None where the season begins, or it was lost."""
    path = disk.velocities / f"{round_.round_id}.npz" if round_ else None
    return None if path is None or not path.exists() else arrays_read(path.read_bytes())
