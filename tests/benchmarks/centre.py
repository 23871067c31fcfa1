"""`make bench-centre`: 4,000 schools check in at a centre that runs as in production, from another process.

On PostgreSQL and on SQLite: web server, worker and beat as `central run` starts them. First every school comes into
contact: it opens a session with its own key and checks in. Then a rollout opens for a quarter of them, and all check
in as fast as the centre answers, then at the rate that the bar asks for, whether or not the centre keeps up. Afterwards
the tables are compared with what the schools were answered.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from rich.console import Console

from tests.benchmarks.report import BENCH_ROOT, Row, report, row
from tests.stations import EMBEDDED, free_port

TREE = Path(__file__).resolve().parents[2]
POSTGRESQL = os.environ.get("SORO_TEST_POSTGRESQL", "postgres://postgres@127.0.0.1:5432/postgres")
START_SECONDS = 60.0
P99_AT_MOST_MS = 500.0
_console = Console(stderr=True)


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
    """Measure on the engines that were asked for; return 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each of the two measurements")
    parser.add_argument("--engines", nargs="+", choices=[bar.engine for bar in BARS], default=["postgres", "sqlite"])
    arguments = parser.parse_args()
    rows = [
        figure
        for bar in BARS
        if bar.engine in arguments.engines
        for figure in _measure(bar, schools=arguments.schools, seconds=arguments.seconds)
    ]
    return report("centre", rows)


def _measure(bar: Bar, *, schools: int, seconds: float) -> list[Row]:
    work = BENCH_ROOT / "centre" / bar.engine
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with _database(bar.engine) as url:
        environment = _environment(work, url)
        _say(bar, f"making {schools} schools")
        made = _fleet(environment, "make", "--schools", str(schools), "--keys", str(work / "keys.json"))
        with _centre(environment, work) as port, _load(port, work / "keys.json", made, bar, seconds) as load:
            _say(bar, "every school opens a session and checks in")
            assert load.stdout is not None
            load.stdout.readline()
            made |= _fleet(environment, "open")
            _say(bar, f"a rollout has opened; {seconds:g} s at full speed and {seconds:g} s at the rate")
            told, _ = load.communicate("go\n")
        heard = json.loads(told)
        held = _fleet(environment, "count")
    (work / "heard.json").write_text(json.dumps({"made": made} | heard), encoding="utf-8")
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


@contextmanager
def _database(engine: str) -> Iterator[str]:
    """Yield the URL of a new database of the engine, dropped afterwards; empty for SQLite, which lies on the disk."""
    if engine == "sqlite":
        yield ""
        return
    name = f"soro_bench_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL.replace("postgres://", "postgresql://"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _environment(work: Path, url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    return kept | EMBEDDED | {
        "SORO_CENTRAL_ROOT": str(work / "root"),
        "SORO_CENTRAL_DATABASE_URL": url,
        "SORO_CENTRAL_TICK_SECONDS": "3",
        # Each school has an address of its own, as behind nginx.
        "SORO_CENTRAL_PROXIES": "1",
        "DJANGO_SETTINGS_MODULE": "central.settings",
        "PYTHONPATH": str(TREE),
    }  # fmt: skip


def _fleet(environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    return _child(("tests.benchmarks.checkins.fleet", *words), environment)


@contextmanager
def _load(port: int, keys: Path, made: Mapping[str, Any], bar: Bar, seconds: float) -> Iterator[subprocess.Popen[str]]:
    options = {
        "port": port, "keys": keys, "base": made["base"], "adapter": made["adapter"],
        "connections": bar.connections, "seconds": seconds, "rate": bar.checkins_per_second,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.checkins.load", *words],
        cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _child(words: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=TREE, env=dict(environment), check=True, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def _centre(environment: Mapping[str, str], work: Path) -> Iterator[int]:
    """Yield the port of the running centre."""
    port = free_port()
    words = ("-m", "tests.benchmarks.checkins.fleet", "serve", "--port", str(port))
    with (work / "centre.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *words], cwd=TREE, env=dict(environment), stdout=log, stderr=log)
        try:
            _answer_await(f"http://127.0.0.1:{port}/healthz")
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _answer_await(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def _say(bar: Bar, words: str) -> None:
    _console.print(f"{bar.engine}: {words}")


if __name__ == "__main__":
    sys.exit(main())
