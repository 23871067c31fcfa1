"""A small country for some weeks: the ServerApp's own loop and the centre's own services lose and double nothing."""

from __future__ import annotations

import pytest

from tests.country.pc import Chances
from tests.country.play import Play, Script
from tests.country.tally import tally

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def disk(settings, tmp_path):
    from central.disk import CentreDisk  # noqa: PLC0415

    settings.CENTRAL_ROOT = tmp_path / "central"
    settings.CENTRAL_ROOT.mkdir()
    return CentreDisk(settings.CENTRAL_ROOT)


def test_a_hundred_schools_in_which_everything_goes_wrong_lose_no_update_and_double_none(disk):
    script = Script(
        schools=100,
        days=20,
        wanted=20,
        chances=Chances(power_cut=0.3, both_ways=0.3),
        days_between_run_kills=1.0,
        worker_kill=0.5,
    )
    play = Play(script, disk=disk)
    play.run()
    found = tally(play)
    assert (found.lost, found.doubled) == (0, 0)
    assert found.versions >= 2
    assert found.accepted >= 60
    assert play.run_kills >= 15
    assert play.centre.worker_kills >= 1
