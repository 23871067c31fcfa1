"""How check-ins a second grow with web processes, on one fleet and in turns: 1, 2, 1, 2, ….

A machine that others use as well is faster or slower from one minute to the next; what neighbours differ by is told
all the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tests.benchmarks.checkins.running import centre_serve, load_make, say, site_make
from tests.benchmarks.report import Row, row

PROCESSES = (1, 2)
CONNECTIONS = 32
WARM_SECONDS = 3.0


def scaling_measure(*, schools: int, seconds: float, turns: int) -> list[Row]:
    """Measure so many turns of each number of processes, each for so many seconds at full speed."""
    speeds: dict[int, list[float]] = {number: [] for number in PROCESSES}
    refused = 0
    with site_make("scaling", "postgres") as site:
        say(f"scaling: making {schools} schools")
        made = site.fleet("make", "--schools", str(schools), "--keys", str(site.keys))
        with load_make(site, made, connections=CONNECTIONS) as load:
            for turn in range(turns):
                for number in PROCESSES:
                    with centre_serve(site, SORO_CENTRAL_WEB_PROCESSES=str(number)):
                        load.ask(*(("fastest", WARM_SECONDS) if turn or number > PROCESSES[0] else ("contacts",)))
                        told = load.ask("fastest", seconds)
                    speeds[number].append(told["count"] / told["took"])
                    refused += len(told["refused"])
                    say(f"scaling: {number} web processes answered {speeds[number][-1]:.0f} check-ins a second")
    return scaling_rows(speeds, refused)


def scaling_rows(speeds: dict[int, Sequence[float]], refused: int) -> list[Row]:
    """Return medians, and the median of the ratios of neighbours with the lowest and the highest."""
    few, many = PROCESSES
    ratios = [more / less for less, more in zip(speeds[few], speeds[many], strict=True)]
    return [
        *(row(f"checkins_per_second_{n}_web", statistics.median(speeds[n]), "check-ins/s, median") for n in PROCESSES),
        row("web_ratio", statistics.median(ratios), f"times as many with {many} as with {few}", at_least=1.0),
        row("web_ratio_lowest", min(ratios), "of the turns"),
        row("web_ratio_highest", max(ratios), "of the turns"),
        row("web_refused", refused, "answers", at_most=0),
    ]
