"""The drill that a ministry holds with its backup, by the scripts and commands that deploy/ and the manual name.

PostgreSQL, the doors and the schools' programs are real. The cluster is destroyed and comes back as it was at a moment;
what came after that moment schools offer again, and nothing is lost or counted twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from federation.demo.commands import CommandLine
from tests.centre_backup import DOUBLED, GAPS, CentreBackup
from tests.node.test_killed import KilledNode
from tests.postgresql_cluster import Cluster, archiving, cluster_open
from tests.real_centre import RealCentre, real_centre
from tests.stations import EMBEDDED, free_port

pytestmark = pytest.mark.slow


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

    @property
    def backup(self) -> CentreBackup:
        return CentreBackup(
            cluster=self.cluster, root=self.root, copies=self.root.parent / "copies", command=self.command
        )

    def command(self, *words: str) -> dict:
        environment = {**EMBEDDED, "SORO_CENTRAL_DATABASE_URL": self.cluster.url}
        commands = CommandLine(project="central", root=self.root, environment=environment)
        return commands.run_json("drill", *words)


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
        ministry.backup.make()
        does(second, "upload")
        fileless = does(second, "learn", **asked)[-1]
        meets(second)
        does(first, "rating")
        meets(first)
        before = [centre.ratings(node_id) for node_id in ids]
        moment = ministry.backup.moment()

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
        ministry.backup.archived()

    ministry.backup.destroy()
    ministry.backup.restore(moment)
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
