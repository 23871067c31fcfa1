"""The drill that a ministry holds with its backup, by the scripts and commands that deploy/ and the manual name.

PostgreSQL, the doors and the schools' programs are real. The cluster is destroyed and comes back as it was at a moment;
what came after that moment schools offer again, and nothing is lost or counted twice.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from federation.demo.commands import CommandLine
from tests.node.test_killed import KilledNode
from tests.postgresql_cluster import DEPLOY, Cluster, archiving, cluster_open
from tests.real_centre import RealCentre, real_centre
from tests.stations import EMBEDDED, free_port

pytestmark = pytest.mark.slow
DOUBLED = "SELECT node_id, epoch, seq FROM feedback_receivedparcel GROUP BY 1, 2, 3 HAVING count(*) > 1"
GAPS = """
SELECT c.node_id FROM feedback_outboxcursor c WHERE acknowledged_seq <>
(SELECT coalesce(max(seq), 0) FROM feedback_receivedparcel p WHERE (p.node_id, p.epoch) = (c.node_id, c.epoch))
"""


@dataclass(kw_only=True)
class Ministry:
    """A centre on a database of its own, whose files and port stay the same."""

    root: Path
    cluster: Cluster
    port: int = field(default_factory=free_port)

    @contextmanager
    def runs(self) -> Iterator[RealCentre]:
        with real_centre(self.root, port=self.port, SORO_CENTRAL_DATABASE_URL=self.cluster.url) as centre:
            yield centre

    def command(self, *words: str) -> dict:
        environment = {**EMBEDDED, "SORO_CENTRAL_DATABASE_URL": self.cluster.url}
        commands = CommandLine(project="central", root=self.root, environment=environment)
        return json.loads(commands.run("drill", words[0], *words[1:], "--json").splitlines()[-1])

    def backup(self) -> None:
        """Do what the timers do, and what the manual asks for after each change of keys."""
        self.cluster.run_as_owner(str(DEPLOY / "backup" / "soro-backup-database"), str(self.cluster.archive), "2")
        for kind in ("files", "keys"):
            self.command("backup", kind, str(self.root.parent / "copies" / kind))

    def moment(self) -> str:
        """Return the present moment, with some commits of nobody's behind it."""
        with psycopg.connect(self.cluster.url, autocommit=True) as database:
            (now,) = database.execute("SELECT clock_timestamp()::text").fetchone()
            time.sleep(0.01)
            return now

    def archived(self) -> None:
        """Return once all that is committed lies in the archive, as it does a minute after at the latest."""
        self.cluster.archived()

    def destroy(self) -> None:
        """Leave nothing of the server."""
        self.cluster.end(signal.SIGKILL)
        shutil.rmtree(self.cluster.data)
        shutil.rmtree(self.root)

    def restore(self, moment: str) -> None:
        script = str(DEPLOY / "backup" / "soro-restore-database")
        self.cluster.run_as_owner(script, str(self.cluster.archive), str(self.cluster.data), moment)
        for kind in ("files", "keys"):
            shutil.copytree(self.root.parent / "copies" / kind, self.root, dirs_exist_ok=True)
        self.cluster.start()
        until = time.monotonic() + 60
        with psycopg.connect(self.cluster.url, autocommit=True) as database:
            # It answers before it has come to the moment.
            while database.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                assert time.monotonic() < until, (self.cluster.folder / "postgresql.log").read_text()[-2000:]
                time.sleep(0.05)


@pytest.fixture
def ministry(tmp_path) -> Iterator[Ministry]:
    with cluster_open(settings=archiving) as cluster:
        yield Ministry(root=tmp_path / "centre", cluster=cluster)


@pytest.fixture
def schools(tmp_path, ministry) -> Iterator[list[KilledNode]]:
    nodes = []
    for number in range(3):
        root = tmp_path / "schools" / str(number) / "node"
        root.mkdir(parents=True)
        nodes.append(KilledNode(root, f"http://127.0.0.1:{ministry.port}"))
    yield nodes
    for node in nodes:
        node.end()


def does(node, step, **options):
    done = node.do(step, **options)
    assert not done["failed"], Path(node.log.name).read_text()[-3000:]
    return done["words"]


def meets(node):
    """Hold a contact in which no step fails."""
    assert does(node, "meet") == []


def said_by(node):
    return {record: tuple(value) for record, value in json.loads(does(node, "say")[-1]).items()}


def digests(centre):
    return sorted(row[0] for row in centre.rows("SELECT digest FROM training_update WHERE status = 'accepted'"))


def test_what_came_after_the_moment_of_a_restore_comes_again_and_counts_once(ministry, schools):
    first, second, third = schools
    with ministry.runs() as centre:
        ids = [does(node, "prepare", **centre.ask("invite", name=f"Мактаби №{n}"))[0] for n, node in enumerate(schools)]
        asked = centre.ask("season")
        for node in schools:
            meets(node)
        does(first, "upload")
        kept = does(first, "learn", **asked)[-1]
        meets(first)
        ministry.backup()
        does(second, "upload")
        fileless = does(second, "learn", **asked)[-1]
        meets(second)
        does(first, "rating")
        meets(first)
        before = [centre.ratings(node_id) for node_id in ids]
        moment = ministry.moment()

        for node in schools:
            does(node, "upload")
        lost = does(third, "learn", **asked)[-1]
        for node in schools:
            meets(node)
        after = [centre.ratings(node_id) for node_id in ids]
        assert digests(centre) == sorted([kept, fileless, lost])
        # Published after the moment, and seen by every school.
        centre.ask("renew")
        for node in schools:
            meets(node)
        ministry.archived()

    ministry.destroy()
    ministry.restore(moment)
    found = ministry.command("backup", "reconcile")
    # The copy of the files is of before one update that the tables know.
    assert found == {
        "updates": {"taken_in": 0, "asked_again": 1, "missing": 0},
        "releases_without_files": [],
    }
    with ministry.runs() as centre:
        assert [centre.ratings(node_id) for node_id in ids] == before != after
        assert digests(centre) == [kept]
        for node in schools:
            meets(node)
            meets(node)
        assert [centre.ratings(node_id) for node_id in ids] == after == [said_by(node) for node in schools]
        assert digests(centre) == sorted([kept, fileless, lost])
        assert centre.rows(DOUBLED) == []
        assert centre.rows(GAPS) == []
        assert centre.rows("SELECT count(*) FROM feedback_clonealarm") == [(0,)]
        assert centre.rows("SELECT DISTINCT restored_number > 0 FROM schools_node") == [(True,)]
        # It goes on as if nothing had been.
        does(third, "upload")
        assert centre.ratings(ids[2]) == said_by(third)
