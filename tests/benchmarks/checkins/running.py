"""A centre that runs as in production, and its schools in another process; ends with the benchmark, and leaves nothing.

What it starts is in sessions of their own: Ctrl-C reaches the benchmark alone, which then ends the others in order.
"""

from __future__ import annotations

import json
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

from tests.benchmarks.report import BENCH_ROOT
from tests.stations import EMBEDDED, free_port

TREE = Path(__file__).resolve().parents[3]
POSTGRESQL = os.environ.get("SORO_TEST_POSTGRESQL", "postgres://postgres@127.0.0.1:5432/postgres")
START_SECONDS = END_SECONDS = 300.0
"""As long as a machine may take on which others train a model meanwhile."""
_console = Console(stderr=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a centre of the benchmark has its things: folder, settings, and the port of its web server."""

    work: Path
    environment: Mapping[str, str]
    port: int
    database: str
    """Empty: SQLite, which lies on the disk."""

    @property
    def root(self) -> Path:
        """The centre's own folder."""
        return self.work / "root"

    @property
    def keys(self) -> Path:
        """The file with the schools' ids and private keys."""
        return self.work / "keys.json"

    def fleet(self, *words: str) -> dict[str, Any]:
        """Return what `tests.benchmarks.checkins.fleet` prints in the centre's environment."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.checkins.fleet", *words],
            cwd=TREE, env=dict(self.environment), check=True, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def site_make(name: str, engine: str, **settings: str) -> Iterator[Site]:
    """Yield a place for a new centre on a new database of the engine, which is dropped afterwards."""
    work = BENCH_ROOT / "centre" / name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with _database(engine) as database:
        url = f"{POSTGRESQL.rpartition('/')[0]}/{database}" if database else ""
        environment = _environment(work, url) | settings
        yield Site(work=work, environment=environment, port=free_port(), database=database)


@contextmanager
def centre_serve(site: Site, **settings: str) -> Iterator[int]:
    """Yield the id of the process that keeps the running centre, once its page answers."""
    words = ("-m", "tests.benchmarks.checkins.fleet", "serve", "--port", str(site.port))
    with (site.work / "centre.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=TREE, env={**site.environment, **settings}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _answer_await(f"http://127.0.0.1:{site.port}/healthz")
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=END_SECONDS)


class LoadEnded(RuntimeError):
    """The process that is the schools has ended before it answered; what it said is on the screen."""


class Load:
    """The schools, in a process of their own, which does one thing after the other and tells what came of each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Speak with the process, which waits for its first word."""
        self._process = process

    def ask(self, *words: object) -> dict[str, Any]:
        """Return what came of it.

        Raises:
            LoadEnded: nothing came.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{' '.join(map(str, words))}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise LoadEnded
        told: dict[str, Any] = json.loads(line)
        return told


@contextmanager
def load_make(site: Site, made: Mapping[str, Any], *, connections: int) -> Iterator[Load]:
    """Yield the schools of the site, which come by so many connections at once."""
    options = {
        "port": site.port, "keys": site.keys, "base": made["base"], "adapter": made["adapter"],
        "connections": connections,
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.checkins.load", *words],
        cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield Load(process)
    finally:
        process.kill()
        process.communicate()


def say(words: str) -> None:
    """Tell whoever waits how far it is."""
    _console.print(words)


@contextmanager
def _database(engine: str) -> Iterator[str]:
    if engine == "sqlite":
        yield ""
        return
    name = f"soro_bench_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL.replace("postgres://", "postgresql://"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        try:
            yield name
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


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
