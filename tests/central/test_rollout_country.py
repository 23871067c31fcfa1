"""A release through a country of a hundred schools in virtual time, once for each way in which it may go."""

import json
import subprocess
import sys

import pytest

from tests.rollout_country import NAMES

SCHOOLS = 100


@pytest.fixture(scope="module")
def plays():
    """Play all scenarios in one process of their own, whose database is a file: two workers need one."""
    words = [sys.executable, "-m", "tests.rollout_country", *NAMES, "--schools", str(SCHOOLS)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return {play["scenario"]: play for play in map(json.loads, done.stdout.splitlines())}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_school_ends_on_a_release_that_has_proved_itself_there(plays, name):
    play = plays[name]
    assert (play["on_wanted"], play["on_committed"], play["agrees"]) == (SCHOOLS, SCHOOLS, SCHOOLS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["good", "restarts", "workers"])
def test_a_good_release_reaches_all_and_nobody_has_to_look(plays, name):
    play = plays[name]
    assert play["status"] == "completed"
    assert not [what for what in play["counts"] if what.startswith("paused")]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reason"), [("hardware", "error_threshold"), ("ratings", "quality")])
def test_a_bad_release_is_halted_before_more_than_the_first_wave_has_it(plays, name, reason):
    play = plays[name]
    assert play["status"] == "rolled_back"
    assert play["counts"][f"paused: {reason}"] == 1
    assert play["offered_at_halt"] <= play["first_wave"]
    assert 0 < play["worst"] <= play["first_wave"]


@pytest.mark.slow
def test_the_centre_was_killed_in_ticks_and_in_check_ins(plays):
    assert {"tick", "check-in"} <= plays["restarts"]["killed"].keys()
