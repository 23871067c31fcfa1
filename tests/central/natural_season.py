"""A season of natural steps on a package that a trainer can open, and what a school hands in to it."""

from dataclasses import replace

import numpy as np
from django.utils import timezone

from central.releases.package_slots import slot_sizes
from central.training.plan_settings import NATURAL_PLAN
from central.training.plans import plan_of
from central.training.seasons import season_open
from central.trust_root import director_key
from federation.learning.update import update_write
from federation.wire.rounds import Factor
from tests.central.seasons import take_in
from tests.learning.tiny_package import tiny_package
from tests.released_base import base_release

SLOT = "layers.1.down"


def season_natural(folder, disk, **opening):
    """Return an open season on a tiny package, made in `folder`; `opening` are the service's own arguments."""
    now = timezone.now()
    base = base_release(tiny_package(folder), disk=disk, now=now)
    return season_open(
        base=base,
        slot_sizes=slot_sizes(base),
        key=director_key(),
        actor="test",
        now=now,
        settings=replace(NATURAL_PLAN, rank=4, directions=8),
        **opening,
    )


def hand_in_natural(school, season, disk):
    """Return the row of an update of length 1 in no special direction."""
    learnt = np.random.default_rng(5).normal(size=(8, slot_sizes(season.base)[SLOT].d_out)).astype(np.float32)
    content = update_write(
        plan=plan_of(season.plans.get()),
        node_id=school.node_id,
        counter=1,
        labels=4,
        steps=1,
        loss_before=3.0,
        loss_after=2.0,
        arrays={(SLOT, Factor.B): learnt / np.linalg.norm(learnt)},
        made_at=timezone.now(),
        key=school.key,
    )
    return take_in(content, disk)
