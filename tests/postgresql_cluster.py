"""A PostgreSQL cluster of a test's own, on loopback and on the disk, that may be killed and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.services import service_missing
from tests.stations import free_port

INSTALLED = Path("/usr/lib/postgresql")
SYSTEM_USER = "postgres"
"""PostgreSQL refuses to run as root, who becomes this user for it."""
REPLICA_MAKE = Path(__file__).parents[1] / "deploy" / "postgresql" / "soro-replica-make"
START_SECONDS = 120.0
DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
SHIPPED_PLACE = "/srv/soro-backup"
"""Where the backups lie in what is shipped."""
SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
fsync = on
full_page_writes = on
synchronous_commit = on
shared_buffers = 32MB
"""


@dataclass(kw_only=True)
class Cluster:
    """A cluster whose data, log and sockets lie in `folder`."""

    programs: Path
    folder: Path
    port: int
    _server: subprocess.Popen[bytes] | None = None
    """A child of the test: one whose parent is gone may stay a zombie, and the next one takes it for alive."""

    @property
    def url(self) -> str:
        """Its one database, which asks for no password."""
        return f"postgresql://{SYSTEM_USER}@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    @property
    def archive(self) -> Path:
        """The folder of its backups, where `archiving` has it keep its log."""
        return self.folder / "backup"

    def archived(self) -> None:
        """Return once all that is committed lies in the archive, as it does a minute after at the latest."""
        with psycopg.connect(self.url, autocommit=True) as database:
            (segment,) = database.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        until = time.monotonic() + START_SECONDS
        while not (self.archive / "wal" / segment).exists():
            assert time.monotonic() < until, self._log_path.read_text()[-2000:]
            time.sleep(0.05)

    def make(self, *, settings: str = "") -> None:
        """Leave an empty cluster in the folder, with further lines of its `settings`."""
        terms = ("--username", SYSTEM_USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8")
        with self._log() as log:
            subprocess.run(self._argv("initdb", *terms), check=True, stdout=log, stderr=log, **self._as_user())
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(port=self.port, sockets=self.folder) + settings)

    def run_as_owner(self, *argv: str) -> str:
        """Return what a program says that runs as the cluster's own user, and finds the cluster."""
        environment = {**os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": SYSTEM_USER}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, **self._as_user())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self) -> None:
        """Return once it takes connections; after a SIGKILL it has replayed its log by then."""
        with self._log() as log:
            self._server = subprocess.Popen(self._argv("postgres"), stdout=log, stderr=log, **self._as_user())
        until = time.monotonic() + START_SECONDS
        while not self._does_answer():
            assert self._server.poll() is None, self._log_path.read_text()[-2000:]
            assert time.monotonic() < until, self._log_path.read_text()[-2000:]
            time.sleep(0.1)

    def pids(self) -> set[int]:
        """Return the postmaster and every process of its."""
        return {self._server.pid, *children_of(self._server.pid)} if self._server else set()

    def end(self, sign: signal.Signals) -> None:
        """Have the postmaster end by `sign`, if it has not ended already."""
        if self._server is not None:
            self._server.send_signal(sign)
            self._server.wait(timeout=START_SECONDS)
            self._server = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not been ended."""
        return self._server is not None

    @property
    def _log_path(self) -> Path:
        return self.folder / "postgresql.log"

    def _log(self) -> Any:
        return self._log_path.open("ab")

    def _argv(self, program: str, *arguments: str) -> list[str]:
        return [str(self.programs / program), *arguments, "-D", str(self.data)]

    def _as_user(self) -> dict[str, Any]:
        who = {"user": SYSTEM_USER, "group": SYSTEM_USER, "extra_groups": []} if os.geteuid() == 0 else {}
        return {"cwd": self.folder, **who}

    def _does_answer(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def cluster_open(*, settings: Callable[[Path], str] = lambda _folder: "") -> Iterator[Cluster]:
    """Yield a new, running cluster; nothing of it is left afterwards. Without PostgreSQL the test is skipped.

    `settings` returns further lines of its configuration, by the folder that the cluster's user may write into.
    """
    with _place() as cluster:
        cluster.make(settings=settings(cluster.folder))
        cluster.start()
        yield cluster


@contextmanager
def replica_open(primary: Cluster, *, settings: str = "") -> Iterator[Cluster]:
    """Yield a streaming replica of `primary` that does not run yet, made as a ministry makes one."""
    with _place() as cluster:
        primary.run_as_owner(str(REPLICA_MAKE), f"host=127.0.0.1 port={primary.port}", str(cluster.data))
        own = SETTINGS.format(port=cluster.port, sockets=cluster.folder) + settings
        with (cluster.data / "postgresql.conf").open("a") as file:
            file.write(own)
        yield cluster


@contextmanager
def _place() -> Iterator[Cluster]:
    found = sorted(INSTALLED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        service_missing("PostgreSQL", f"no initdb under {INSTALLED}")
    # Not under pytest's own folders, into which only who runs the tests may look.
    folder = Path(tempfile.mkdtemp(prefix="soro-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(folder, SYSTEM_USER, SYSTEM_USER)
    cluster = Cluster(programs=found[-1].parent, folder=folder, port=free_port())
    try:
        yield cluster
    finally:
        cluster.end(signal.SIGQUIT)
        shutil.rmtree(folder)


def archiving(folder: Path) -> str:
    """Return the archive's settings as they are shipped, for a cluster that keeps its backups in its own folder."""
    (folder / "backup" / "wal").mkdir(parents=True)
    for place in (folder / "backup", folder / "backup" / "wal"):
        shutil.chown(place, folder.owner(), folder.group())
    shipped = (DEPLOY / "postgresql" / "soro-archive.conf").read_text(encoding="utf-8")
    return shipped.replace(SHIPPED_PLACE, str(folder / "backup"))


def children_of(parent: int) -> set[int]:
    """Return the processes that `parent` has started and that still run."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            # Behind the name in brackets, which may hold anything: state, parent.
            words = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if words and int(words[1]) == parent:
            found.add(int(entry.name))
    return found
