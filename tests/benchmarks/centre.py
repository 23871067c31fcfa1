"""`make bench-centre`: 4,000 schools check in at a centre that runs as in production, from another process.

`bars`, on PostgreSQL and on SQLite: web server, worker and beat as `central run` starts them. First every school comes
into contact: it opens a session with its own key and checks in. Then a rollout opens for a quarter of them, and all
check in as fast as the centre answers, then at the rate that the bar asks for, whether or not the centre keeps up.
Afterwards the tables are compared with what the schools were answered.

`scaling`: one web process and two, in turns.

`soak`: an hour at half of what the centre bears (`--minutes`); memory must be flat in its second half. Ctrl-C ends it
with what was measured. Each part has a JSON file and a plot of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.benchmarks.checkins.running import LoadEnded, centre_serve, load_make, say, site_make
from tests.benchmarks.checkins.samples import Sample, soak_rows
from tests.benchmarks.checkins.scaling import scaling_measure
from tests.benchmarks.checkins.soak import soak
from tests.benchmarks.checkins.soak_plot import soak_plot
from tests.benchmarks.report import BENCH_ROOT, Row, report, row

P99_AT_MOST_MS = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """How many check-ins a second an engine must bear, by how many connections they come."""

    engine: str
    checkins_per_second: float
    connections: int


BARS = (
    Bar(engine="postgres", checkins_per_second=150.0, connections=32),
    Bar(engine="sqlite", checkins_per_second=30.0, connections=8),
)


def main() -> int:
    """Measure what was asked for; return 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="of bars, scaling, soak (default: bars)")
    parser.add_argument("--schools", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each measurement of bars and scaling")
    parser.add_argument("--engines", nargs="+", choices=[bar.engine for bar in BARS], default=["postgres", "sqlite"])
    parser.add_argument("--turns", type=int, default=5, help="of scaling, with each number of processes")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the soak")
    parser.add_argument("--rate", type=float, default=0.0, help="of the soak; 0: half of what is measured first")
    arguments = parser.parse_args()
    parts = arguments.parts or ["bars"]
    if odd := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(odd)}; there are {', '.join(PARTS)}")
    return max(PARTS[part](arguments) for part in parts)


def _bars(arguments: argparse.Namespace) -> int:
    rows = [
        figure
        for bar in BARS
        if bar.engine in arguments.engines
        for figure in _measure(bar, schools=arguments.schools, seconds=arguments.seconds)
    ]
    return report("centre", rows)


def _scaling(arguments: argparse.Namespace) -> int:
    rows = scaling_measure(schools=arguments.schools, seconds=arguments.seconds, turns=arguments.turns)
    return report("centre-scaling", rows)


def _soak(arguments: argparse.Namespace) -> int:
    """Report what was measured, however the soak ended."""
    samples: list[Sample] = []
    BENCH_ROOT.mkdir(parents=True, exist_ok=True)
    into = BENCH_ROOT / "centre-soak-samples.jsonl"
    into.unlink(missing_ok=True)
    found: dict[str, Any] = {}
    try:
        found = soak(
            schools=arguments.schools, minutes=arguments.minutes, rate=arguments.rate, samples=samples, into=into
        )
    except (KeyboardInterrupt, LoadEnded, httpx.HTTPError) as error:
        say(f"soak: cut by {type(error).__name__}; what was measured before counts")
    rows = soak_rows(samples, rate=found.get("rate", arguments.rate))
    rows.append(row("soak_ended", bool(found), "of one soak, in order, with its tables looked at", at_least=1))
    if found:
        rows.append(row("soak_lost", lost(found["heard"], found["held"]), "schools", at_most=0))
    if samples:
        soak_plot(samples, BENCH_ROOT / "centre-soak-minutes.png")
    return report("centre-soak", rows)


PARTS = {"bars": _bars, "scaling": _scaling, "soak": _soak}


def _measure(bar: Bar, *, schools: int, seconds: float) -> list[Row]:
    with site_make(bar.engine, bar.engine) as site:
        say(f"{bar.engine}: making {schools} schools")
        made = site.fleet("make", "--schools", str(schools), "--keys", str(site.keys))
        with centre_serve(site), load_make(site, made, connections=bar.connections) as load:
            say(f"{bar.engine}: every school opens a session and checks in")
            heard = {"contacts": load.ask("contacts")}
            made |= site.fleet("open")
            say(f"{bar.engine}: a rollout has opened; {seconds:g} s at full speed and {seconds:g} s at the rate")
            heard["fastest"] = load.ask("fastest", seconds)
            heard["steady"] = load.ask("steady", seconds, bar.checkins_per_second)
            heard["heard"] = load.ask("heard")
        held = site.fleet("count")
        (site.work / "heard.json").write_text(json.dumps({"made": made} | heard), encoding="utf-8")
    return _rows(bar, made, heard, held)


def _rows(bar: Bar, made: Mapping[str, Any], heard: Mapping[str, Any], held: Mapping[str, Any]) -> list[Row]:
    name, fastest, steady, contacts = bar.engine, heard["fastest"], heard["steady"], heard["contacts"]
    suffix = "" if name == "postgres" else f"_{name}"
    refused = sum(len(phase["refused"]) for phase in (contacts, fastest, steady))
    rate = bar.checkins_per_second
    news = sum(state == "adapter" for _, state in heard["heard"].values())
    return [
        row(f"checkins_per_second_{name}", fastest["count"] / fastest["took"], "check-ins/s", at_least=rate),
        row(f"checkin_p99_ms{suffix}", 1000 * steady.get("p99", math.inf), f"ms at {rate:g}/s", at_most=P99_AT_MOST_MS),
        row(f"checkin_p50_ms{suffix}", 1000 * steady.get("p50", math.inf), f"ms at {rate:g}/s"),
        row(f"checkin_p99_ms_fastest_{name}", 1000 * fastest.get("p99", math.inf), f"ms, {bar.connections} at once"),
        row(f"contacts_per_second_{name}", contacts["count"] / contacts["took"], "sessions with a check-in/s"),
        row(f"checkins_heard_{name}", fastest["count"] + steady["count"], "check-ins"),
        row(f"checkins_with_news_{name}", 2 * news, "of them an offer or a report, about"),
        row(f"checkins_refused_{name}", refused, "answers", at_most=0),
        row(f"checkins_lost_{name}", lost(heard["heard"], held), "schools", at_most=0),
        row(f"checkin_queries_{name}", made["queries_many"][-1], "queries without news"),
        row(f"checkin_queries_more_{name}", _more(made), "queries more with all schools than with 10", at_most=0),
    ]


def lost(heard: Mapping[str, tuple[int, str]], held: Mapping[str, Any]) -> int:
    """Return of how many schools the tables do not hold exactly what they were answered.

    Each move of an assignment, to `offered` and to `committed`, has one audit row.
    """
    wanted = {"base": ("pending", 0), "report": ("offered", 1), "adapter": ("committed", 2)}
    return sum(
        held["numbers"][node] != number
        or (held["statuses"].get(node, "pending"), held["moves"].get(node, 0)) != wanted[state]
        for node, (number, state) in heard.items()
    )


def _more(made: Mapping[str, Any]) -> int:
    return max(many - few for few, many in zip(made["queries_few"], made["queries_many"], strict=True))


if __name__ == "__main__":
    sys.exit(main())
