"""The benchmark's own counts: it must find a loss, a leak and a ratio, and keep what it measured when it is cut."""

import json
import math
import threading
from dataclasses import asdict

import pytest

from tests.benchmarks.centre import lost
from tests.benchmarks.checkins.samples import ENOUGH, FLAT_MB_AN_HOUR, Sample, second_half, slope_an_hour, soak_rows
from tests.benchmarks.checkins.scaling import scaling_rows
from tests.benchmarks.checkins.soak import sample_keep, samples_take

HEARD = {"a": (3, "base"), "b": (4, "report"), "c": (5, "adapter")}
HELD = {
    "numbers": {"a": 3, "b": 4, "c": 5},
    "statuses": {"a": "pending", "b": "offered", "c": "committed"},
    "moves": {"b": 1, "c": 2},
}


def test_what_was_answered_and_is_held_is_not_lost():
    assert lost(HEARD, HELD) == 0


@pytest.mark.parametrize(
    ("table", "node", "value"),
    [("numbers", "a", 2), ("statuses", "b", "pending"), ("statuses", "c", "offered"), ("moves", "c", 3)],
)
def test_a_school_of_which_the_tables_hold_something_else_is_lost(table, node, value):
    held = {**HELD, table: {**HELD[table], node: value}}
    assert lost(HEARD, held) == 1


# One web process and two


def test_the_ratio_is_of_neighbours_so_a_machine_that_slows_down_changes_nothing():
    # Twice as fast with two, while the machine falls to a tenth.
    rows = {each.name: each for each in scaling_rows({1: [100.0, 40.0, 10.0], 2: [200.0, 80.0, 20.0]}, refused=0)}

    assert (rows["web_ratio"].value, rows["web_ratio_lowest"].value, rows["web_ratio_highest"].value) == (2, 2, 2)
    assert rows["checkins_per_second_2_web"].value == 80
    slower = {each.name: each for each in scaling_rows({1: [100.0], 2: [90.0]}, refused=1)}
    assert not slower["web_ratio"].holds
    assert not slower["web_refused"].holds


# The soak


def sample(number, *, web_mb=100.0, pid=7, refused=0):
    return Sample(
        at_seconds=30.0 * number,
        pids={"web": pid, "worker": 8},
        # Pages of files come and go with whatever else the machine does.
        memory_mb={"web": web_mb + 30 + 5 * number, "worker": 90.0 + 5 * number},
        anonymous_mb={"web": web_mb, "worker": 80.0},
        processor_seconds={"web": 1.5 * number, "worker": 3.0 * number, "database": 0.75 * number},
        connections=18,
        wal_bytes=600_000 * number,
        database_bytes=50_000_000,
        checkins=300,
        refused=refused,
        renewed=0,
        p50_ms=10.0,
        p95_ms=20.0 + number,
    )


def rows_of(samples):
    return {each.name: each for each in soak_rows(samples, rate=10.0)}


def test_the_slope_is_that_of_the_line_through_the_points():
    points = [(30.0 * n, 100 + 6 * 30.0 * n / 3600 + (-1) ** n * 0.01) for n in range(60)]
    assert slope_an_hour(points) == pytest.approx(6, abs=0.1)  # the points stray by a hundredth of a megabyte


def test_memory_that_has_come_to_rest_in_the_second_half_is_flat():
    warming = [sample(n, web_mb=min(100 + 5 * n, 150)) for n in range(1, 2 * ENOUGH + 6)]
    assert rows_of(warming)["soak_growth_web"].holds


def test_a_leak_is_told_by_the_process_that_has_it():
    leaking = [sample(n, web_mb=100 + 3 * FLAT_MB_AN_HOUR * n / 120) for n in range(1, 2 * ENOUGH + 2)]
    rows = rows_of(leaking)

    assert not rows["soak_growth_web"].holds
    assert rows["soak_growth_web"].value == pytest.approx(3 * FLAT_MB_AN_HOUR)
    assert rows["soak_growth_worker"].holds


def test_of_a_soak_that_was_too_short_no_slope_is_told_and_it_does_not_pass():
    rows = rows_of([sample(n) for n in range(1, 4)])
    assert not rows["soak_samples_late"].holds
    assert not [name for name in rows if name.startswith("soak_growth")]
    assert [name for name, each in rows_of([]).items() if not each.holds] == ["soak_samples_late"]
    assert second_half([]) == []


def test_an_error_and_a_process_that_was_started_again_are_not_passed_over():
    samples = [sample(1), sample(2, pid=9, refused=2), sample(3, pid=9)]
    rows = rows_of(samples)
    assert (rows["soak_refused"].value, rows["soak_restarted"].value) == (2, 1)
    assert not rows["soak_refused"].holds
    assert not rows["soak_restarted"].holds


def test_costs_are_those_of_the_check_ins_between_the_first_and_the_last_look():
    rows = rows_of([sample(n) for n in range(1, 4)])
    assert rows["soak_web_processor_ms"].value == pytest.approx(5)  # 3 s for 600 check-ins
    assert rows["soak_database_processor_ms"].value == pytest.approx(2.5)
    assert rows["soak_worker_cores"].value == pytest.approx(0.1)
    assert rows["soak_wal_kb"].value == pytest.approx(2)
    assert (rows["soak_p95_ms"].value, rows["soak_p95_ms_worst"].value) == (22, 23)


class ThreeWindows:
    """Schools of which one is refused; somebody interrupts in the third window."""

    def __init__(self, stopping):
        self.stopping, self.asked = stopping, []

    def ask(self, *words):
        self.asked.append(words)
        if len(self.asked) == 3:
            self.stopping.set()
        return {"count": 9, "refused": [500], "renewed": 1, "took": 1.0, "p50": 0.01, "p95": 0.02, "p99": 0.03}


def test_a_soak_that_is_interrupted_ends_with_its_window_and_leaves_what_it_measured(tmp_path):
    stopping = threading.Event()
    load, told = ThreeWindows(stopping), asdict(sample(1))
    centre = {
        name: told[name]
        for name in ("pids", "memory_mb", "anonymous_mb", "processor_seconds", "connections", "wal_bytes")
    }
    look = lambda: {**centre, "database_bytes": 1}  # noqa: E731
    for each in samples_take(load, look, minutes=math.inf, rate=5.0, stopping=stopping):
        sample_keep(each, tmp_path / "samples.jsonl")

    kept = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert load.asked == [("steady", 30.0, 5.0)] * 3
    assert [(each["checkins"], each["refused"], each["renewed"], each["p95_ms"]) for each in kept] == [
        (9, 1, 1, 20)
    ] * 3
    assert kept[0]["anonymous_mb"] == {"web": 100.0, "worker": 80.0}
