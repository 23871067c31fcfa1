"""The ministry's server in a network of its own, laid out and started as docs/operations.md has it.

The program's tree, settings, units and nginx's site are those of deploy/; PostgreSQL, Redis, gunicorn, Celery and
Flower are real. Left out are accounts of the system (all runs as root, PostgreSQL as its own user) and an offline PC
for keys.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from federation.demo.commands import SILENCE_SECONDS, CommandLine, LongRunning, wait_until
from federation.demo.progress import ReportProgress
from tests.acceptance import systemctl
from tests.acceptance.networks import CENTRE_ADDRESS, Network
from tests.centre_backup import CentreBackup
from tests.postgresql_cluster import DEPLOY, Cluster, archiving, cluster_open
from tests.shipped import nginx_argv, settings_shipped, site_filled
from tests.stations import does_answer
from tests.tls_files import TestAuthority

NAME = "centre.example"
"""As the shipped settings call it."""
TREE = Path(__file__).resolve().parents[2]
PARTS = ("central", "federation", "node", "deploy")
APP, ENVIRONMENT = Path("srv/soro/app"), Path("etc/soro/centre.env")
CHECKIN_SECONDS = 4
NEEDED = ("redis-server", "nginx", "ip")
CERTIFICATE_DAYS = 30


@dataclass(kw_only=True)
class CentreServer:
    """The server, whose root of files is the folder `root`."""

    root: Path
    network: Network
    cluster: Cluster
    build_work: Path
    _neighbours: ExitStack = field(default_factory=ExitStack)

    @property
    def data(self) -> Path:
        """SORO_CENTRAL_ROOT."""
        return self.root / "srv/soro/centre"

    @property
    def commands(self) -> CommandLine:
        """The centre's command line, as its units call it."""
        app = self.root / APP
        program = (str(app / ".venv/bin/python"), str(app / "manage.py"), "central")
        return CommandLine(project="central", root=self.data, environment=self.settings, program=program)

    @property
    def settings(self) -> dict[str, str]:
        """What is shipped, with what the manual has a ministry change, and with less patience."""
        return settings_shipped() | {
            "SORO_CENTRAL_ROOT": str(self.data),
            "SORO_CENTRAL_DATABASE_URL": self.cluster.url,
            "SORO_CENTRAL_AUTHORITY": str(self.root / "etc/soro/tls/authority.pem"),
            "SORO_CENTRAL_CHECKIN_SECONDS": str(CHECKIN_SECONDS),
            "SORO_CENTRAL_TICK_SECONDS": "1",
            "SORO_CENTRAL_BUILD_WORK": str(self.build_work),
            "SORO_CENTRAL_BACKUP": str(self.cluster.archive),
        }

    @property
    def site(self) -> Path:
        """What nginx serves."""
        return self.root / "etc/soro/site.conf"

    @property
    def backup(self) -> CentreBackup:
        """Its copies."""

        def command(*words: str) -> dict[str, Any]:
            return self.ask(*words)

        return CentreBackup(
            cluster=self.cluster, root=self.data, copies=self.root / "srv/soro-backup-copies", command=command
        )

    def ask(self, *words: str, step: str = "centre") -> dict[str, Any]:
        """Return what a command of the centre answers."""
        with self.network.entered():
            return self.commands.run_json(step, *words)

    def follow(self, step: str, *words: str, show: ReportProgress) -> dict[str, Any]:
        """Return what a command tells at the end of what it follows."""
        with self.network.entered():
            return self.commands.run_json(
                step, *words, "--follow", on_line=lambda line: show(line[:60], 0.5), silence_seconds=2 * SILENCE_SECONDS
            )

    def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return rows of its database."""
        with self.network.entered(), psycopg.connect(self.cluster.url) as database:
            return database.execute(query.encode(), arguments).fetchall()

    def lay(self) -> None:
        """Leave program, settings, units, certificates and nginx's site where the manual has them."""
        app = self.root / APP
        app.mkdir(parents=True)
        for part in PARTS:
            shutil.copytree(TREE / part, app / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(TREE / "manage.py", app)
        (app / ".venv").symlink_to(sys.prefix)
        (self.root / systemctl.UNITS).mkdir(parents=True)
        for unit in (DEPLOY / "systemd").iterdir():
            shutil.copy(unit, self.root / systemctl.UNITS)
        self.data.mkdir(parents=True)
        self._certificates_lay()
        lines = [f"{name}={value}\n" for name, value in self.settings.items()]
        (self.root / ENVIRONMENT).write_text("".join(lines), encoding="utf-8")

    def program_change(self, changes: Mapping[str, bytes]) -> None:
        """Bring other files of the program's tree to the server, as with an upgrade; schools' programs come from it."""
        for name, content in changes.items():
            (self.root / APP / name).write_bytes(content)

    def start(self, step: str) -> None:
        """Start what stands beside the centre's parts, then these; return when schools can reach it."""
        with self.network.entered():
            self._neighbour_start("redis-server", "--save", "", "--dir", str(self.root / "run"))
            self._systemctl("start", "soro.target")
            self._site_write()
            scratch = self.root / "run/nginx"
            scratch.mkdir(exist_ok=True)
            self._neighbour_start(*nginx_argv("nginx", site=self.site, scratch=scratch))
            wait_until(step, self._is_ready, what="the centre to be ready", log=self.root / "run/soro-web.service.log")

    def stop(self) -> None:
        """End all parts and what stands beside them, in the order in which systemd does."""
        with self.network.entered():
            self._systemctl("stop", *reversed(self._parts()))
        self._neighbours.close()

    @property
    def parts_running(self) -> int:
        """How many of its units have a process."""
        return sum(bool(systemctl.Unit(self.root, name).pid) for name in self._parts())

    def _parts(self) -> list[str]:
        return [name for line in systemctl.Unit(self.root, "soro.target").values("Wants") for name in line.split()]

    def _systemctl(self, *words: str) -> None:
        environment = {"PATH": "/usr/bin:/bin", systemctl.FOLDER_VARIABLE: str(self.root), "LANG": "C.UTF-8"}
        subprocess.run([sys.executable, systemctl.__file__, *words], env=environment, check=True)

    def _neighbour_start(self, program: str, *arguments: str) -> None:
        log = self.root / "run" / f"{program}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as stream:
            child = subprocess.Popen([program, *arguments], stdout=stream, stderr=stream, start_new_session=True)
        self._neighbours.callback(LongRunning(name=program, child=child, log=log).stop)

    def _certificates_lay(self) -> None:
        folder, begins = self.root / "etc/soro/tls", datetime.now(UTC) - timedelta(days=1)
        folder.mkdir(parents=True)
        authority = TestAuthority.make(begins=begins)
        (folder / "authority.pem").write_text(authority.pem)
        certificate, key = authority.server(folder, begins=begins, days=CERTIFICATE_DAYS, host=NAME)
        certificate.rename(folder / "fullchain.pem")
        key.rename(folder / "privkey.pem")

    def _site_write(self) -> None:
        values = {
            "SORO_NAME": NAME,
            "SORO_TLS": self.root / "etc/soro/tls",
            "SORO_ROOT": self.data,
            "SORO_HTTP": "80",
            "SORO_HTTPS": "443",
            "SORO_FLEET_PORT": "8443",
            "SORO_FLEET_LISTEN": f"{CENTRE_ADDRESS}:8443",
        }
        self.site.write_text(site_filled(values), encoding="utf-8")
        # nginx reads the SuperLink's certificate, which the SuperLink makes as it starts.
        certificate = self.data / "training/superlink/tls/server.pem"
        log = self.root / "run/soro-superlink.service.log"
        wait_until("centre", certificate.exists, what="the SuperLink's certificate", log=log)

    def _is_ready(self) -> bool:
        trusted = ssl.create_default_context(cafile=str(self.root / "etc/soro/tls/authority.pem"))
        try:
            from_afar = httpx.get(f"https://{NAME}/healthz", verify=trusted, timeout=5).is_success
        except httpx.TransportError:
            return False
        return from_afar and does_answer("http://127.0.0.1:8440/readyz")


@contextmanager
def centre_server_open(root: Path, *, network: Network, build_work: Path) -> Iterator[CentreServer]:
    """Yield a server that is laid out and not started yet; nothing of it runs afterwards."""
    with network.entered():
        opened = ExitStack()
        cluster = opened.enter_context(cluster_open(settings=archiving))
    with opened:
        server = CentreServer(root=root, network=network, cluster=cluster, build_work=build_work)
        server.lay()
        try:
            yield server
        finally:
            server.stop()
