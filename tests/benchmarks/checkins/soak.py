"""The soak of `bench-centre`: an hour of check-ins at half of what the centre bears, looked at twice a minute.

As in production: PostgreSQL, Redis where it answers (else the embedded broker), JSON logs, and figures that somebody
asks for. Every sample is on the disk before the next begins, and what was measured becomes figures also when somebody
interrupts, or the centre ends.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import redis

from tests.benchmarks.checkins.running import POSTGRESQL, Load, Site, centre_serve, load_make, say, site_make
from tests.benchmarks.checkins.samples import Sample
from tests.benchmarks.process_tree import process_memory, processor_seconds, tree_pids
from tests.services import BROKERS
from tests.stations import free_port

WINDOW_SECONDS = 30.0
SPEED_SECONDS = 40.0
CONNECTIONS = 32
SHARE = 0.5
"""Of what the centre bears."""
_MEBIBYTE = 2**20
_LOOKED_AT = """
SELECT (SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = %(name)s),
    pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, pg_database_size(%(name)s)
"""


def soak(*, schools: int, minutes: float, rate: float, samples: list[Sample], into: Path) -> dict[str, Any]:
    """Fill `samples`; return the rate, what schools were answered last, and what the tables hold in the end.

    A `rate` of 0 asks for half of what the centre bears, which is measured first.
    """
    with _broker() as broker, site_make("soak", "postgres", **broker, SORO_CENTRAL_LOG="json") as site:
        figures = f"127.0.0.1:{free_port()}"
        say(f"soak: making {schools} schools")
        made = site.fleet("make", "--schools", str(schools), "--keys", str(site.keys))
        served = centre_serve(site, SORO_CENTRAL_METRICS=figures)
        with served as pid, load_make(site, made, connections=CONNECTIONS) as load, _interruptible() as stopping:
            say("soak: every school opens a session and checks in; then a rollout opens")
            load.ask("contacts")
            site.fleet("open")
            rate = rate or SHARE * _speed(load)
            say(f"soak: {minutes:g} minutes at {rate:.0f} check-ins a second; Ctrl-C ends it with what is measured")
            centre = CentreWatch(site, pid, f"http://{figures}/metrics")
            for sample in samples_take(load, centre.look, minutes=minutes, rate=rate, stopping=stopping):
                sample_keep(sample, into)
                samples.append(sample)
            return {"rate": rate, "heard": load.ask("heard"), "held": site.fleet("count")}


def samples_take(
    load: Load,
    look: Callable[[], Mapping[str, Any]],
    *,
    minutes: float,
    rate: float,
    stopping: threading.Event,
    window_seconds: float = WINDOW_SECONDS,
) -> Iterator[Sample]:
    """Yield a sample for each window of check-ins, until the minutes are over or `stopping` is set."""
    began = time.monotonic()
    while not stopping.is_set() and time.monotonic() - began < 60 * minutes:
        told = load.ask("steady", window_seconds, rate)
        yield Sample(
            at_seconds=round(time.monotonic() - began, 1),
            checkins=told["count"],
            refused=len(told["refused"]),
            renewed=told["renewed"],
            p50_ms=1000 * told.get("p50", 0.0),
            p95_ms=1000 * told.get("p95", 0.0),
            **look(),
        )


def sample_keep(sample: Sample, into: Path) -> None:
    """Append it to the file, a line of JSON."""
    with into.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(sample)) + "\n")


class CentreWatch:
    """Looks at a running centre's processes, at PostgreSQL, and at the figures that Prometheus would ask for."""

    def __init__(self, site: Site, pid: int, figures: str) -> None:
        """Look at nothing yet; `pid` keeps the centre's parts."""
        self._site, self._pid, self._figures = site, pid, figures
        self._database_seconds: dict[int, float] = {}

    def look(self) -> dict[str, Any]:
        """Return the part of a sample that the centre tells."""
        httpx.get(self._figures, timeout=30).raise_for_status()
        pids = self._pids()
        memory = {name: process_memory(pid) for name, pid in pids.items()}
        with psycopg.connect(POSTGRESQL.replace("postgres://", "postgresql://"), autocommit=True) as server:
            backends, wal, size = server.execute(_LOOKED_AT, {"name": self._site.database}).fetchone() or ([], 0, 0)
        # One that has ended keeps what it had taken when it was last seen.
        self._database_seconds |= {backend: processor_seconds(backend) for backend in backends or []}
        web = [pid for name, pid in pids.items() if name.startswith("web")]
        others = [pid for name, pid in pids.items() if not name.startswith("web")]
        return {
            "pids": pids,
            "memory_mb": {name: each.resident / _MEBIBYTE for name, each in memory.items()},
            "anonymous_mb": {name: each.anonymous / _MEBIBYTE for name, each in memory.items()},
            "processor_seconds": {
                "web": sum(map(processor_seconds, web)),
                "worker": sum(map(processor_seconds, others)),
                "database": sum(self._database_seconds.values()),
            },
            "connections": len(backends or []),
            "wal_bytes": wal,
            "database_bytes": size,
        }

    def _pids(self) -> dict[str, int]:
        """Return each process by its part's name, and of several by a number behind it."""
        parts = json.loads((self._site.root / "run.json").read_text(encoding="utf-8"))
        return {
            f"{name} {number}" if number else name: pid
            for name, first in parts.items()
            for number, pid in enumerate(tree_pids(first))
        }


def _speed(load: Load) -> float:
    say(f"soak: {SPEED_SECONDS:g} s as fast as the centre answers")
    told = load.ask("fastest", SPEED_SECONDS)
    return float(told["count"] / told["took"])


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C, or SIGTERM, sets; the second one ends everything at once."""
    stopping, numbers = threading.Event(), (signal.SIGINT, signal.SIGTERM)
    kept = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, _frame: object) -> None:
        stopping.set()
        signal.signal(number, kept[signal.Signals(number)])
        say("soak: ends with this half minute")

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield stopping
    finally:
        for number in numbers:
            signal.signal(number, kept[number])


@contextmanager
def _broker() -> Iterator[dict[str, str]]:
    """Yield the settings of a queue of its own in Redis, of which nothing is left afterwards, or none."""
    queue, address = f"soro_bench_{uuid4().hex[:12]}", BROKERS["redis"]
    client = redis.Redis.from_url(address)
    try:
        client.ping()
    except redis.ConnectionError:
        say("soak: no Redis answers; the worker takes its messages from files")
        yield {}
        return
    try:
        yield {"SORO_CENTRAL_BROKER_URL": address, "SORO_CENTRAL_QUEUE": queue}
    finally:
        client.delete(*client.keys(f"*{queue}*"), queue)
        client.close()
