"""Keeps the step that a round has taken, for the next one of a season with momentum.

It cannot be read back out of the adapters: those are rounded, and a scheme of products knows no difference of factors.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np

from central.disk import CentreDisk
from central.training.models import Round
from federation.learning.schemes.contribution import Delta
from federation.trust.durable import durable_write
from federation.wire.rounds import Factor


def velocity_keep(round_: Round, velocity: Delta, disk: CentreDisk) -> None:
    """Leave the round's step on the disk; it counts once the round's adapter is adopted."""
    content = BytesIO()
    arrays: dict[str, Any] = {f"{slot}/{factor.value}": array for (slot, factor), array in velocity.items()}
    np.savez(content, **arrays)
    disk.velocities.mkdir(parents=True, exist_ok=True)
    durable_write(disk.velocities / f"{round_.round_id}.npz", content.getvalue())


def velocity_read(round_: Round | None, disk: CentreDisk) -> Delta | None:
    """Return the step of the round that the next one starts from; None where the season begins, or it was lost."""
    path = disk.velocities / f"{round_.round_id}.npz" if round_ else None
    if path is None or not path.exists():
        return None
    with np.load(path, allow_pickle=False) as kept:
        return {(name.rpartition("/")[0], Factor(name.rpartition("/")[2])): kept[name] for name in kept.files}
