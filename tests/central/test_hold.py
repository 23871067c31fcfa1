"""The centre's own part of a round, measured by a real process on a real package that was released."""

import numpy as np
import pytest
from django.utils import timezone

from central.releases.services import (
    release_folder,
    release_sign,
)
from central.training.candidate import candidate_make
from central.training.errors import HoldFailed
from central.training.hold import hold_measured
from central.training.models import RoundStatus
from central.training.plans import plan_of
from central.training.rounds import round_advance, round_aggregate
from central.training.seasons import season_follow
from central.training.start import start_of_round
from central.trust_root import director_key
from federation.learning.schemes.contribution import learnt_norm
from federation.wire.rounds import Factor
from tests.central.natural_season import SLOT, hand_in_natural, season_natural
from tests.central.seasons import collecting
from tests.central.test_candidate import Gate

pytestmark = pytest.mark.slow


@pytest.fixture
def season(school, disk, tmp_path):
    """A season of natural steps on a package that a trainer can open; one update ends a round."""
    return season_natural(tmp_path, disk, wanted=1)


def measured(season, disk):
    return hold_measured(collecting(season), start_of_round(season, disk), 1.0, disk).contribution.arrays


def test_the_first_round_is_stiffened_alone_and_the_next_goes_back(season, school, disk):
    plan = plan_of(season.plans.get())
    assert (plan.slots, plan.rank, plan.anchors) == ((SLOT,), 8, ())
    first = measured(season, disk)
    assert learnt_norm(first) < 1e-4
    assert np.trace(first[SLOT, Factor.GRAM]) == pytest.approx(8, rel=1e-4)

    assert hand_in_natural(school, season, disk).code == ""
    round_ = collecting(season)
    round_advance(round_=round_, now=timezone.now())
    round_aggregate(
        round_=round_,
        disk=disk,
        clock=timezone.now,
        make=lambda each: candidate_make(round_=each, disk=disk, clock=timezone.now, measure=Gate()),
    )
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COMPLETED
    release_sign(release=round_.release, disk=disk, actor="test", now=timezone.now())
    season_follow(season=season, key=director_key(), now=timezone.now())

    second = measured(season, disk)
    assert learnt_norm(second) > 1e-3
    assert not list(disk.builds.glob("hold-*"))


def test_a_base_that_cannot_be_read_is_told_and_nothing_is_left(season, disk):
    (release_folder(release=season.base, disk=disk, variant="") / "tokenizer.json.gz").write_bytes(b"cut")
    with pytest.raises(HoldFailed, match="tokenizer"):
        measured(season, disk)
    assert not list(disk.builds.glob("hold-*"))
