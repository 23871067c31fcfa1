"""When a school's PC may learn: the rule alone, and what it measures of the PC."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chat.engine_events import EngineEvent, EventKind
from node.rounds import pc_state
from node.rounds.eligibility import (
    LEAST_DISK,
    LEAST_MEMORY,
    LEAST_START_MEMORY,
    Hindrance,
    LearningRule,
    Pace,
    PcState,
    is_open,
    pace_of,
    running_hindrance,
    start_hindrance,
)
from node.rounds.pc_state import is_on_battery, pc_measure
from tests.node.conftest import answer_make

RULE = LearningRule()
NIGHT = PcState(
    clock=time(19),
    is_answering=False,
    idle_seconds=600.0,
    is_on_battery=False,
    load_a_core=0.1,
    memory_available_bytes=4 * 2**30,
    disk_free_bytes=4 * 2**30,
)


def begin(state=NIGHT, rule=RULE, *, is_asked=False):
    return start_hindrance(rule, state, is_asked=is_asked)


def go_on(state=NIGHT, rule=RULE, *, is_asked=False, is_waiting=False):
    return running_hindrance(rule, state, is_asked=is_asked, is_waiting=is_waiting)


def test_a_quiet_pc_on_the_mains_learns_in_its_hours():
    assert begin() is go_on() is None


@pytest.mark.parametrize(
    ("changes", "hindrance"),
    [
        ({"is_answering": True}, Hindrance.CHAT),
        ({"idle_seconds": 3.0}, Hindrance.CHAT),
        ({"is_on_battery": True}, Hindrance.BATTERY),
        ({"load_a_core": 0.9}, Hindrance.BUSY),
        ({"memory_available_bytes": LEAST_START_MEMORY - 1}, Hindrance.MEMORY),
        ({"disk_free_bytes": LEAST_DISK - 1}, Hindrance.DISK),
        ({"clock": time(10)}, Hindrance.HOURS),
    ],
)
def test_each_hindrance_keeps_a_training_from_beginning(changes, hindrance):
    assert begin(replace(NIGHT, **changes)) is hindrance


def test_a_person_who_asks_minds_no_hours_no_battery_and_no_load():
    state = replace(NIGHT, clock=time(10), is_on_battery=True, load_a_core=2.0, is_answering=True)
    assert begin(state, is_asked=True) is None
    assert go_on(replace(state, is_answering=False), is_asked=True) is None
    assert go_on(state, is_asked=True) is Hindrance.CHAT


def test_what_the_school_has_stopped_neither_begins_nor_goes_on_whoever_asks():
    stopped = replace(RULE, is_stopped=True)
    for is_asked in (False, True):
        assert begin(rule=stopped, is_asked=is_asked) is Hindrance.STOPPED
        assert go_on(rule=stopped, is_asked=is_asked) is Hindrance.STOPPED


@pytest.mark.parametrize("hour", range(24))
def test_schools_whose_power_is_cut_by_day_and_by_night_have_hours_to_learn_in_winter(hour):
    has_power = not (8 <= hour < 17 or hour >= 22 or hour < 5)
    if has_power:
        wanted = None if hour != 7 else Hindrance.HOURS
        assert begin(replace(NIGHT, clock=time(hour))) is wanted


def test_a_pc_that_nobody_has_asked_for_two_hours_learns_at_any_hour_until_somebody_asks():
    holiday = replace(NIGHT, clock=time(11), idle_seconds=7200.0)
    assert begin(holiday) is go_on(holiday) is None
    asked = replace(holiday, is_answering=True, idle_seconds=0.0)
    assert pace_of(go_on(asked)) is Pace.WAIT
    after = replace(holiday, idle_seconds=20.0)
    assert pace_of(go_on(after, is_waiting=True)) is Pace.STOP
    assert begin(holiday, replace(RULE, idle_minutes=None)) is Hindrance.HOURS


def test_a_training_waits_for_a_chat_and_goes_on_once_it_is_quiet_again():
    asked = replace(NIGHT, is_answering=True, idle_seconds=0.0)
    assert pace_of(go_on(asked)) is Pace.WAIT
    just_answered = replace(NIGHT, idle_seconds=5.0)
    assert pace_of(go_on(just_answered, is_waiting=True)) is Pace.WAIT
    assert pace_of(go_on(replace(NIGHT, idle_seconds=11.0), is_waiting=True)) is Pace.GO


@pytest.mark.parametrize(
    ("changes", "hindrance"),
    [
        ({"is_on_battery": True}, Hindrance.BATTERY),
        ({"memory_available_bytes": LEAST_MEMORY - 1}, Hindrance.MEMORY),
        ({"clock": time(7)}, Hindrance.HOURS),
    ],
)
def test_a_training_that_runs_ends_with_a_checkpoint_when_power_memory_or_hours_end(changes, hindrance):
    state = replace(NIGHT, **changes)
    assert go_on(state) is hindrance
    assert pace_of(hindrance) is Pace.STOP


def test_a_running_training_is_not_hindered_by_the_load_and_memory_that_it_takes_itself():
    assert go_on(replace(NIGHT, load_a_core=1.5, memory_available_bytes=LEAST_START_MEMORY - 1)) is None


@given(opens_at=st.times(), closes_at=st.times(), now=st.times())
def test_a_window_and_the_one_from_its_end_to_its_beginning_share_no_moment_and_leave_none_out(
    opens_at, closes_at, now
):
    state = replace(NIGHT, clock=now)
    rule = LearningRule(opens_at=opens_at, closes_at=closes_at, idle_minutes=None)
    other = LearningRule(opens_at=closes_at, closes_at=opens_at, idle_minutes=None)
    if opens_at == closes_at:
        assert is_open(rule, state)
    else:
        assert is_open(rule, state) != is_open(other, state)


def supply(folder, name, **files):
    (folder / name).mkdir(parents=True)
    for file, content in files.items():
        (folder / name / file).write_text(content + "\n")


def test_a_pc_without_any_supply_to_read_has_the_mains(tmp_path):
    assert not is_on_battery(power=tmp_path / "none")
    supply(tmp_path, "AC", type="Mains", online="1")
    supply(tmp_path, "BAT0", type="Battery", status="Discharging")
    assert not is_on_battery(power=tmp_path)


def test_a_laptop_unplugged_and_a_pc_behind_a_ups_in_a_cut_are_on_battery(tmp_path):
    supply(tmp_path / "laptop", "AC", type="Mains", online="0")
    supply(tmp_path / "laptop", "BAT0", type="Battery", status="Discharging")
    supply(tmp_path / "ups", "ups", type="UPS", status="Discharging")
    assert is_on_battery(power=tmp_path / "laptop")
    assert is_on_battery(power=tmp_path / "ups")


def test_the_battery_of_a_mouse_is_not_the_pcs(tmp_path):
    supply(tmp_path, "hid", type="Battery", scope="Device", status="Discharging")
    assert not is_on_battery(power=tmp_path)


@pytest.mark.django_db
def test_an_answer_on_its_way_is_seen_and_silence_counts_from_the_last_question(root, monkeypatch):
    now = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
    monkeypatch.setattr(pc_state, "engine_status", lambda socket_path: None)
    state = pc_measure(root=root, now=now)
    assert (state.clock, state.is_answering) == (time(20, 30), False)
    assert state.idle_seconds > 365 * 86400
    assert min(state.memory_available_bytes, state.disk_free_bytes) > 0
    turn = answer_make().turn
    assert pc_measure(root=root, now=turn.asked_at + timedelta(minutes=5)).idle_seconds == 300

    def status(**fields):
        event = EngineEvent(kind=EventKind.DONE, release="r", **fields)
        monkeypatch.setattr(pc_state, "engine_status", lambda socket_path: event)
        return pc_measure(root=root, now=turn.asked_at + timedelta(minutes=5))

    assert status(answering=1).is_answering
    assert status(waiting=1).is_answering
    assert status(idle_seconds=0.5).is_answering
    quiet = status(idle_seconds=40.0)
    assert (quiet.is_answering, quiet.idle_seconds) == (False, 40.0)
