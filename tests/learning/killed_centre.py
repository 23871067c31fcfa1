"""A real embedded centre, all of whose processes a test kills at once with those of its database.

What must happen inside of the centre, by its own services, is in `prepare` and `outcome`, which its `shell` runs.
"""

# ruff: noqa: PLC0415 - the centre is imported in its own processes only
from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import psycopg

from federation.demo.commands import CommandLine, LongRunning
from tests.postgresql_cluster import Cluster
from tests.real_superlink import pids_with
from tests.stations import EMBEDDED, does_answer, free_port

LOGGER = logging.getLogger(__name__)
INSIDE = "import json; from tests.learning import killed_centre; print(json.dumps(killed_centre.{call}))"
PROGRAMS = {
    "flower-superlink": "SuperLink",
    "flower-superexec": "SuperExec",
    "flwr-serverapp": "ServerApp",
    "manage.py": "supervisor",
    "celery": "worker",
    "gunicorn": "web",
    "postgres": "PostgreSQL",
}
ALWAYS = {"supervisor", "web", "worker", "SuperLink", "SuperExec"}


@dataclass(kw_only=True)
class KilledCentre:
    """A centre at `root`, on the PostgreSQL of `cluster`."""

    root: Path
    cluster: Cluster
    port: int = field(default_factory=free_port)
    fleet_port: int = field(default_factory=free_port)
    story: list[str] = field(default_factory=list)
    """What happened, for whoever reads why the test failed."""
    _running: LongRunning | None = None
    _began_at: float = field(default_factory=time.monotonic)

    LONGEST_SECONDS: ClassVar[float] = 600.0
    """For one step on a machine that is busy with other things; on an idle one the longest takes half a minute."""

    @property
    def address(self) -> str:
        """Of the web server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def commands(self) -> CommandLine:
        """Its command line, on the database that it runs on."""
        environment = {**EMBEDDED, "SORO_CENTRAL_DATABASE_URL": self.cluster.url}
        return CommandLine(project="central", root=self.root, environment=environment)

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{time.monotonic() - self._began_at:6.1f} s  {what}")
        LOGGER.info("%s", self.story[-1])

    def told(self) -> str:
        """Return the story."""
        return "\n".join(["", *self.story])

    def wait(self, what: str, claim: Callable[[], object]) -> None:
        """Return once `claim()` holds."""
        until = time.monotonic() + self.LONGEST_SECONDS
        while not claim():
            assert time.monotonic() < until, f"waited in vain for: {what}{self.told()}"
            time.sleep(0.05)

    def call(self, call: str) -> dict[str, Any]:
        """Return what a function of this module returns inside of the centre."""
        code = INSIDE.format(call=call)
        lines = self.commands.run("test", "shell", "--no-imports", "--command", code).strip().splitlines()
        document: dict[str, Any] = json.loads(lines[-1])
        return document

    def database_start(self) -> None:
        """Start the database, which finds again what was committed."""
        if not self.cluster.is_running:
            self.cluster.start()

    def left(self) -> str:
        """Return the first round's status, and put into the story what a cut has left on the disk and in the tables."""
        training = self.root / "training"
        counts = {
            "updates judged": len(self.rows("SELECT id FROM training_update")),
            "unjudged in the inbox": len(list(training.glob("inbox/*/*.update"))),
            "parts of uploads": len(list(training.glob("uploads/*/*.part"))),
        }
        ((status,),) = self.rows("SELECT status FROM training_round WHERE number = 1")
        self.tell(f"it left the round {status}, " + ", ".join(f"{count} {what}" for what, count in counts.items()))
        return str(status)

    def start(self) -> None:
        """Start the database, then the centre, as an operator does after a power cut; return when all of it answers."""
        began_at = time.monotonic()
        self.database_start()
        self._run()
        self.tell(f"the centre is up after {time.monotonic() - began_at:.1f} s")

    def kill(self, why: str, rng: random.Random) -> set[str]:
        """SIGKILL all at once, in any order; return the names of what was hit. Nothing of it runs afterwards."""
        assert self._running is not None
        found = pids_with(str(self.root)) | dict.fromkeys(self.cluster.pids(), "postgres")
        pids = sorted(found)
        rng.shuffle(pids)
        _kill(pids)
        hit = Counter(name_of(argv) for argv in found.values())
        self.tell(f"SIGKILL, {why}: " + ", ".join(f"{count} {name}" for name, count in sorted(hit.items())))
        self._running.stop()
        self.cluster.end(signal.SIGKILL)
        # What was started while the others were looked for.
        _kill(self.pids())
        self.wait("the end of all that was killed", lambda: not self.pids() and not any(map(_does_run, pids)))
        assert set(hit) >= ALWAYS, self.told()
        return set(hit)

    def stop(self) -> None:
        """End the centre as an operator does."""
        if self._running is not None:
            self._running.stop()

    def pids(self) -> set[int]:
        """Return every process of the centre, the database's apart."""
        return set(pids_with(str(self.root)))

    def names(self) -> set[str]:
        """Return which of its programs run."""
        return {name_of(argv) for argv in pids_with(str(self.root)).values()}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return rows of the centre's database; none while it is away."""
        try:
            with psycopg.connect(self.cluster.url) as database:
                return database.execute(query.encode()).fetchall()
        except psycopg.OperationalError:
            return []

    def _run(self) -> None:
        ports = ("--port", str(self.port), "--fleet-port", str(self.fleet_port))
        self._running = running = self.commands.start("run", *ports)

        def is_up() -> bool:
            assert running.child.poll() is None, f"{running.last_words}{self.told()}"
            return self.names() >= ALWAYS and does_answer(f"{self.address}/healthz")

        self.wait("the centre's page", is_up)


def name_of(argv: str) -> str:
    """Return what a process is, by its command line."""
    words = [Path(word).name for word in argv.split("\0")]
    return next((name for program, name in PROGRAMS.items() if program in words), " ".join(words)[:40])


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _does_run(pid: int) -> bool:
    """Tell whether the process is there and no zombie whose parent has not looked yet."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def prepare(*, package: str, schools: int) -> dict[str, Any]:
    """Make database and keys, sign the package as a base, open a season of one round of all `schools`, invite them."""
    from django.core.management import call_command
    from django.utils import timezone

    from central.disk import centre_disk
    from central.releases.package_slots import slot_sizes
    from central.schools.invitations import school_invite
    from central.training.plan_settings import PlanSettings
    from central.training.seasons import season_open
    from central.trust_root import director_key, keys_make, root_fingerprint
    from federation.learning.schemes.scheme import Fusion
    from tests.released_base import base_release

    now = timezone.now()
    call_command("migrate", interactive=False, verbosity=0)
    keys_make(now=now)
    base = base_release(Path(package), disk=centre_disk(), now=now)
    settings = PlanSettings(rank=4, max_norm=100.0, server_scale=1.0, fusion=Fusion.MEAN)
    sizes, key = slot_sizes(base), director_key()
    season_open(base=base, slot_sizes=sizes, wanted=schools, key=key, actor="test", now=now, settings=settings)
    names = [f"Мактаби №{number + 1}" for number in range(schools)]
    codes = [school_invite(name=name, region="", actor="test", now=now).code for name in names]
    return {"base": base.digest, "codes": codes, "root_sha256": root_fingerprint()}


def outcome() -> dict[str, Any]:
    """Return what became of the season: its rounds, and the first one's adapter."""
    from central.disk import centre_disk
    from central.releases.services import release_folder
    from central.training.describe import season_describe
    from central.training.models import Season

    season = Season.objects.get()
    release = season.rounds.get(number=1).release
    assert release is not None
    return {
        **season_describe(season),
        "contributions": release.contributions,
        "adapter": str(release_folder(release=release, disk=centre_disk()) / "adapter.bin"),
        "adapters": season.base.adapters.count(),
    }
