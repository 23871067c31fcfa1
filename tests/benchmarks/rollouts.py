"""`make bench-rollouts`: releases go through a country of 4,000 schools in virtual time (`tests.rollout_country`).

Each scenario is a process of its own, two at a time; what has been played stays in `var/bench/rollouts/NAME.json`, so
that an interrupted run goes on with the next scenario (`--anew` plays all of them again). Each leaves a plot of the
schools by state over time, `rollouts-NAME.svg` and `.png`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks.report import BENCH_ROOT, Row, report, row
from tests.rollout_country import NAMES

WORK = BENCH_ROOT / "rollouts"
AT_ONCE = 2
MINUTES_AT_MOST = 15
STATES = {
    "committed": "#2a7f62", "trial": "#7fc8a9", "testing": "#a8d8c2", "staged": "#c6e6d8", "downloading": "#9ecae1",
    "offered": "#6baed6", "pending": "#c6dbef", "not in a wave yet": "#e6e6e6", "superseded": "#cccccc",
    "cancelled": "#bdbdbd", "skipped": "#969696", "failed_download": "#fdae6b", "failed_verify": "#f16913",
    "reverted": "#b3261e",
}  # fmt: skip
"""In the order in which they lie on one another."""
_console = Console(stderr=True)


def main() -> int:
    """Play what has not been played yet, draw all, and report; return 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--schools", type=int, default=4000)
    parser.add_argument("--anew", action="store_true", help="play again what has been played")
    arguments = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    missing = [name for name in arguments.scenarios if arguments.anew or _kept(name, arguments.schools) is None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda name: _play(name, arguments.schools), missing))
    plays = [play for name in arguments.scenarios if (play := _kept(name, arguments.schools)) is not None]
    for play in plays:
        _plot(play)
    return report("rollouts", [figure for play in plays for figure in _rows(play)] + _time_rows(plays))


def _kept(name: str, schools: int) -> dict[str, Any] | None:
    file = WORK / f"{name}.json"
    play: dict[str, Any] | None = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return play if play is not None and play["schools"] == schools else None


def _play(name: str, schools: int) -> None:
    """Play one scenario, and say each minute how far it is."""
    words = [sys.executable, "-m", "tests.rollout_country", name, "--schools", str(schools)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    said_at, line = 0.0, ""
    for line in process.stderr:
        if time.monotonic() - said_at >= 15:
            said_at = time.monotonic()
            _console.print(line.rstrip())
    told = process.stdout.read()
    if process.wait() != 0:
        raise SystemExit(f"{name} ended with status {process.returncode}: {line}")
    (WORK / f"{name}.json").write_text(told, encoding="utf-8")
    _console.print(f"{name}: done")


def _rows(play: Mapping[str, Any]) -> list[Row]:
    name, schools = play["scenario"], play["schools"]
    pauses = sum(count for what, count in play["counts"].items() if what.startswith("paused"))
    rows = [
        row(f"{name}_on_right_release", play["on_wanted"], f"of {schools} schools", at_least=schools),
        row(f"{name}_on_committed_release", play["on_committed"], f"of {schools} schools", at_least=schools),
        row(f"{name}_known_to_centre", play["agrees"], f"of {schools} schools", at_least=schools),
        row(f"{name}_days", play["lasted_days"], "days until nothing is left to do"),
        row(f"{name}_check_ins", play["counts"]["check-ins"], "check-ins"),
        row(f"{name}_pauses", pauses, "pauses"),
    ]
    if play["status"] == "rolled_back":
        share = play["first_wave"] / schools
        rows += [
            row(f"{name}_ran_bad_share", play["worst"] / schools, "of the schools at its worst", at_most=share),
            row(f"{name}_offered_share", play["offered_at_halt"] / schools, "of the schools in all", at_most=share),
        ]
    if play["killed"]:
        rows.append(row(f"{name}_kills", sum(play["killed"].values()), "kills of the centre", at_least=1))
    return rows


def _time_rows(plays: Sequence[Mapping[str, Any]]) -> list[Row]:
    minutes = sum(play["seconds"] for play in plays) / AT_ONCE / 60
    return [row("rollouts_minutes", minutes, f"min, {AT_ONCE} at once", at_most=MINUTES_AT_MOST)]


def _plot(play: Mapping[str, Any]) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only this function draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    days = play["days"]
    states = [state for state in STATES if any(day.get(state) for day in days)]
    figure, axes = plt.subplots(figsize=(11, 5), layout="constrained")
    heights = [[day.get(state, 0) for day in days] for state in states]
    axes.stackplot(range(1, len(days) + 1), heights, labels=states, colors=[STATES[state] for state in states])
    for number, (day, words) in enumerate(play["marks"]):
        axes.axvline(day, color="#333333", linewidth=0.8, linestyle=":")
        axes.annotate(
            words, (day, play["schools"] * (0.97 - 0.05 * (number % 12))), xytext=(3, 0),
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    axes.set(xlabel="days since the rollout began", ylabel="schools", ylim=(0, play["schools"]), xlim=(0, len(days)))
    axes.set_title(f"{play['schools']} schools: {play['title']}")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    for ending in ("svg", "png"):
        figure.savefig(_drawn(play["scenario"], ending), dpi=110)
    plt.close(figure)


def _drawn(name: str, ending: str) -> Path:
    return BENCH_ROOT / f"rollouts-{name}.{ending}"


if __name__ == "__main__":
    sys.exit(main())
