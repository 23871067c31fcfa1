"""Part `scale`: 90 days of 4,000 schools in virtual time (`tests.country`), and what a round's sum costs in memory.

The loop of the ServerApp, the centre's services, its tables and every signed byte are the real ones; the arrays are
small. So memory is measured a second time with arrays of the 270M's size, which are added up and come from nowhere.

Each day that is over is told on the standard error. A measuring that was interrupted goes on at the day at which its
play was kept last: plays are kept in `work` every few days, and what ended before until all is reported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from federation.trust.durable import durable_write
from tests.benchmarks.report import BENCH_ROOT, Row, row

SCHOOLS = (500, 4000)
DAYS = 90
UPDATES = (100, 1000)


def measure(*, work: Path) -> list[Row]:
    """Return the rows of both sizes; the larger one is plotted."""
    kept = {schools: work / f"{schools}.json" for schools in SCHOOLS}
    plays = {schools: _play(schools, path) for schools, path in kept.items()}
    peaks = [_child("tests.benchmarks.rounds_memory", str(updates))["peak_bytes"] for updates in UPDATES]
    largest = plays[SCHOOLS[-1]]
    _plot(BENCH_ROOT / "rounds-scale.png", largest)
    # All of them are reported now, so the next measuring plays anew.
    for path in kept.values():
        path.rename(path.with_suffix(".reported.json"))
    return [
        row("updates_lost", sum(play["lost"] for play in plays.values()), "updates", at_most=0),
        row("updates_doubled", sum(play["doubled"] for play in plays.values()), "updates", at_most=0),
        *_size_rows(largest),
        *_time_rows(largest),
        *_fault_rows(largest),
        row("scale_memory_ratio", largest["peak_bytes"] / plays[SCHOOLS[0]]["peak_bytes"], "of 500 schools"),
        row("sum_memory_mib", peaks[1] / 2**20, "MiB"),
        row("sum_memory_ratio", peaks[1] / peaks[0], f"of {UPDATES[0]} updates, at {UPDATES[1]}", at_most=1.05),
    ]


def _size_rows(play: Mapping[str, Any]) -> list[Row]:
    return [
        row("scale_schools", SCHOOLS[-1], "schools"),
        row("scale_days", DAYS, "days"),
        row("scale_updates_accepted", play["accepted"], "updates"),
        row("scale_versions", play["versions"], "adapters", at_least=1),
        row("scale_too_stale", play["refused"] / max(play["made"], 1), "of updates"),
        row("scale_in_refused_candidates", play["in_refused_candidates"] / max(play["accepted"], 1), "of accepted"),
    ]


def _time_rows(play: Mapping[str, Any]) -> list[Row]:
    days = play["days_to_release"]
    tenths = quantiles(days, n=10)
    shares = play["share_by_region"]
    return [
        row("scale_seconds", play["seconds"], "s", at_most=1200),
        row("scale_busy_seconds", play["busy_seconds"], "s of one core"),
        row("scale_seconds_a_day", play["seconds"] / DAYS, "s a simulated day"),
        row("correction_to_release_median", tenths[4], "days"),
        row("correction_to_release_p90", tenths[8], "days"),
        row("fairness_least_region", min(shares.values()), "of the mean a school", at_least=0.5),
        row("fairness_most_region", max(shares.values()), "of the mean a school"),
    ]


def _fault_rows(play: Mapping[str, Any]) -> list[Row]:
    return [
        row("scale_runs_killed", play["run_kills"], "runs"),
        row("scale_workers_killed", play["worker_kills"], "workers"),
        row("scale_answers_asked_again", play["destroyed_answers"] + play["lost_uploads"], "answers"),
        row("scale_leases_refused", play["leases_refused"], "leases"),
    ]


def _play(schools: int, kept: Path) -> dict[str, Any]:
    """Return what a play comes to; one that was played before an interruption is read back from `kept`."""
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text())
        return found
    sys.stderr.write(f"{schools} schools, {DAYS} days\n")
    # A quarter of the schools is a version a week; with a tenth the countryside is always too late (decision 0058).
    wanted = schools // 4
    sizes = ("--schools", str(schools), "--days", str(DAYS), "--wanted", str(wanted))
    found = _child("tests.country", *sizes, "--keep", str(kept.with_suffix(".play")))
    durable_write(kept, json.dumps(found, ensure_ascii=False).encode())
    return found


def _child(module: str, *arguments: str) -> dict[str, Any]:
    """Return what a module prints; it has a process of its own, so that its peak of memory is its own."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _plot(path: Path, play: Mapping[str, Any]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only this function draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    left.hist(play["days_to_release"], bins=40, color="#2a7f62")
    left.set(xlabel="days from a correction to the release that has learnt it", ylabel="corrections")
    shares: Mapping[str, float] = play["share_by_region"]
    _bars(right, list(shares), list(shares.values()))
    figure.suptitle(f"{SCHOOLS[-1]} schools, {DAYS} days: {play['accepted']} updates in {play['versions']} adapters")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _bars(axes: Any, regions: Sequence[str], shares: Sequence[float]) -> None:
    axes.barh(regions, shares, color="#2a7f62")
    axes.axvline(1.0, color="#555555", linewidth=1)
    axes.set(xlabel="accepted updates a school, over the country's mean")
