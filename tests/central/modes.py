"""Schools that learnt something in common and something of their own, in seasons with a mode."""

from datetime import UTC, datetime

import numpy as np

from central.schools.models import Node, School
from central.training.models import SeasonMode
from central.training.plans import plan_of
from federation.learning.schemes.scheme import Fusion
from federation.learning.update import update_write
from federation.wire.rounds import Factor
from tests.central.school import SimulatedSchool
from tests.central.seasons import SIZES, season_small, take_in

WHEN = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
PRIVATE = {"noise_multiplier": 1.0, "labels_expected": 10.0, "budget": 5.0}
"""One round costs ε = 4.38, two would cost 6.6."""


def season_robust(**changes):
    return season_small(mode=SeasonMode.ROBUST, **changes)


def season_private(**changes):
    return season_small(mode=SeasonMode.PRIVATE, mode_settings=PRIVATE, fusion=Fusion.MEAN, **changes)


def schools_many(client, count):
    return [SimulatedSchool.enrolled(client, name=f"Мактаби №{number}") for number in range(1, count + 1)]


def school_of(school) -> School:
    return Node.objects.get(pk=school.node_id).school


def learnt(number: int, *, factor: float = 1.0):
    """What the school of this number learnt, of length about 0.4, times `factor`."""
    common, own = np.random.default_rng(99), np.random.default_rng(number)
    return {
        (slot, Factor.B): (factor * 0.05 * (common.normal(size=shape) + own.normal(size=shape))).astype(np.float32)
        for slot, size in SIZES.items()
        for shape in [(2, size.d_out)]
    }


def hand_in(school, season, disk, number, *, factor=1.0, **claims):
    """Return the row of what the school of this number hands in."""
    words = {"loss_before": 1.4, "loss_after": 0.1, "scores": None} | claims
    content = update_write(
        plan=plan_of(season.plans.first()),
        node_id=school.node_id,
        counter=1,
        labels=4,
        steps=5,
        arrays=learnt(number, factor=factor),
        made_at=WHEN,
        key=school.key,
        **words,
    )
    return take_in(content, disk)
