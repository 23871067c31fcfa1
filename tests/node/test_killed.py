"""A node killed at any moment of rating, upload, download, staging or activation is sound and loses nothing."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from node.children import child_environment
from tests.node.faults import package_make
from tests.real_centre import real_centre

TREE = Path(__file__).resolve().parents[2]
KILLS = 200
# The longest that each step is let live; about what it takes, so that kills fall on all of it.
STEPS = {"rating": 0.12, "upload": 0.2, "download": 0.3, "staging": 0.06, "activation": 0.12}


class KilledNode:
    def __init__(self, root, url):
        self.log = (root.parent / "node.log").open("w")
        environment = child_environment(root) | {"PYTHONPATH": str(TREE)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.node.killed_node", str(root), url],
            env=environment,
            cwd=TREE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def do(self, step, **options):
        self.process.stdin.write(json.dumps({"step": step, **options}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@pytest.mark.slow
def test_200_kills_leave_a_sound_node_that_has_lost_and_doubled_nothing(tmp_path):
    rng = random.Random(4)
    root = tmp_path / "node"
    root.mkdir()
    with real_centre(tmp_path / "centre") as centre:
        node = KilledNode(root, centre.url)
        try:
            (node_id,) = node.do("prepare", **centre.ask("invite", name="Мактаби №1"))["words"]
            release = _offer(centre, tmp_path, 0)
            assert not node.do("finish", release=release)["failed"]
            records, killed, offered = [], 0, 1
            for number in range(KILLS):
                step = list(STEPS)[number % len(STEPS)]
                done = node.do(step, kill_after_seconds=rng.uniform(0, STEPS[step]))
                killed += done["was_killed"]
                records += [word.split()[1] for word in done["words"] if word.startswith("record ")]
                look = node.do("look", records=records)
                assert not look["failed"], (number, step, (tmp_path / "node.log").read_text()[-3000:])
                # There was a release to serve before the kill, and there is one after it.
                assert look["words"] != [""]
                if look["words"] == [release]:
                    release, offered = _offer(centre, tmp_path, offered), offered + 1
            finished = node.do("finish", release=release)
        finally:
            node.end()
        said = {record: tuple(value) for record, value in json.loads(finished["words"][0]).items()}
        assert centre.ratings(node_id) == said
        assert set(records) <= set(said)
    # A step that was done before its kill proves nothing; most must not have been.
    assert (killed > KILLS * 0.6, offered > 10) == (True, True)


def _offer(centre, tmp_path, number):
    folder = package_make(tmp_path / "packages" / str(number), size_bytes=600_000, seed=number)
    (folder / "model.bin").write_bytes(os.urandom(600_000))
    return centre.ask("offer", folder=str(folder))["digest"]
