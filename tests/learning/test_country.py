"""A small country for some weeks: the ServerApp's own loop and the centre's own services lose and double nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

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


def test_a_play_that_is_killed_goes_on_from_the_day_at_which_it_was_kept(tmp_path):
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "tests.country", "--schools", "30", "--days", "20", "--wanted", "7"]
    command += ["--keep", str(kept)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as cut:
        # It is kept after five days; what comes after that is lost.
        next(line for line in cut.stderr if _day(line) >= 7)
        cut.kill()
    root = Path((kept / "newest" / "root.txt").read_text())
    assert root.exists()
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    days = [_day(line) for line in ended.stderr.splitlines()]
    assert 5 < days[0] < days[-1] == 20
    found = json.loads(ended.stdout)
    assert (found["lost"], found["doubled"]) == (0, 0)
    assert found["versions"] >= 1
    assert found["accepted"] >= 10
    assert not root.exists()
    assert not kept.exists()


def _day(line):
    return int(re.search(r"day (\d+) of", line)[1])
