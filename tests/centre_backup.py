"""A centre's backup as a ministry makes it and puts it back, by the scripts and commands of deploy/ and the manual."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.postgresql_cluster import DEPLOY, Cluster

DOUBLED = "SELECT node_id, epoch, seq FROM feedback_receivedparcel GROUP BY 1, 2, 3 HAVING count(*) > 1"
GAPS = """
SELECT c.node_id FROM feedback_outboxcursor c WHERE acknowledged_seq <>
(SELECT coalesce(max(seq), 0) FROM feedback_receivedparcel p WHERE (p.node_id, p.epoch) = (c.node_id, c.epoch))
"""


@dataclass(frozen=True, kw_only=True)
class CentreBackup:
    """The three copies of the centre at `root` on `cluster`; `command` calls the centre's command line."""

    cluster: Cluster
    root: Path
    copies: Path
    command: Callable[..., dict[str, Any]]

    def make(self) -> None:
        """Do what the timers do, and what the manual asks for after each change of keys."""
        self.cluster.run_as_owner(str(DEPLOY / "backup" / "soro-backup-database"), str(self.cluster.archive), "2")
        for kind in ("files", "keys"):
            self.command("backup", kind, str(self.copies / kind))

    def moment(self) -> str:
        """Return the present moment, with some commits of nobody's behind it."""
        with psycopg.connect(self.cluster.url, autocommit=True) as database:
            row = database.execute("SELECT clock_timestamp()::text").fetchone()
            time.sleep(0.01)
            return str(row[0]) if row else ""

    def archived(self) -> None:
        """Return once all that is committed lies in the archive, as it does a minute after at the latest."""
        self.cluster.archived()

    def destroy(self) -> None:
        """Leave nothing of the server."""
        self.cluster.end(signal.SIGKILL)
        shutil.rmtree(self.cluster.data)
        shutil.rmtree(self.root)

    def restore(self, moment: str) -> None:
        """Put all three back, the database as it was at `moment`; what is to be done then is `backup reconcile`."""
        script = str(DEPLOY / "backup" / "soro-restore-database")
        self.cluster.run_as_owner(script, str(self.cluster.archive), str(self.cluster.data), moment)
        for kind in ("files", "keys"):
            shutil.copytree(self.copies / kind, self.root, dirs_exist_ok=True)
        self.cluster.start()
        until = time.monotonic() + 60
        with psycopg.connect(self.cluster.url, autocommit=True) as database:
            # It answers before it has come to the moment.
            while database.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                assert time.monotonic() < until, (self.cluster.folder / "postgresql.log").read_text()[-2000:]
                time.sleep(0.05)
