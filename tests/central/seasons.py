"""A small season and the updates of schools to it, as the tests of the centre share them."""

import numpy as np
from django.utils import timezone

from central.training.models import RoundStatus
from central.training.plan_settings import PlanSettings
from central.training.plans import plan_of
from central.training.seasons import season_open
from central.training.services import update_take_in
from central.trust_root import director_key
from federation.basis import SlotSize
from federation.learning.update import update_write
from federation.wire.rounds import Factor
from tests.central.test_rollouts import release_make

SIZES = {"layers.0.qkv": SlotSize(4, 6), "layers.0.o": SlotSize(4, 4)}
OPENING = ("base", "wanted", "scheme", "mode", "mode_settings", "now")


def season_small(**changes):
    """Return an open season of two schools a round; `changes` are the service's own arguments, or settings."""
    opening = {name: changes.pop(name) for name in OPENING if name in changes}
    settings = {"rank": 2, "parts": ("qkv", "o"), "max_norm": 10.0, "server_scale": 1.0, **changes}
    return season_open(
        base=opening.pop("base", None) or release_make(1),
        slot_sizes=SIZES,
        wanted=opening.pop("wanted", 2),
        key=director_key(),
        actor="test",
        now=opening.pop("now", None) or timezone.now(),
        settings=PlanSettings(**settings),
        **opening,
    )


def collecting(season):
    """Return the season's round that collects."""
    return season.rounds.select_related("season__base").get(status=RoundStatus.COLLECTING)


def update_of(school, season, *, plan=None, counter=1, key=None, scale=0.1, labels=2, scores=None):
    """Return the bytes of a school's update, every number of it `scale`, to the season's newest plan or to `plan`."""
    document = plan_of(plan or season.plans.first())
    arrays = {(slot, Factor.B): np.full((document.rank, size.d_out), scale, np.float32) for slot, size in SIZES.items()}
    return update_write(
        plan=document,
        node_id=school.node_id,
        counter=counter,
        labels=labels,
        steps=5,
        loss_before=3.0,
        loss_after=0.1,
        arrays=arrays,
        scores=scores,
        made_at=timezone.now(),
        key=key or school.key,
    )


def take_in(content, disk, now=None):
    """Return the update as the centre judges it."""
    return update_take_in(content=content, disk=disk, now=now or timezone.now())
