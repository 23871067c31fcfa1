"""Ratings around a restore, with a real centre over HTTP: each arrives exactly once, nothing is lost or doubled."""

import json
import subprocess
import sys

import pytest

from federation.demo.commands import MANAGE, CommandLine
from tests.node.test_killed import KilledNode
from tests.real_centre import real_centre


def backup(root, *words):
    commands = CommandLine(project="node", root=root, environment={})
    done = subprocess.run(
        [sys.executable, str(MANAGE), "node", "backup", *words, "--json"],
        env=commands._environment(),
        input="a long passphrase\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def records(done):
    assert not done["failed"]
    return {word.split()[1] for word in done["words"] if word.startswith("record ")}


@pytest.mark.slow
def test_ratings_before_and_after_a_restore_and_its_undo_arrive_exactly_once(tmp_path):
    root = tmp_path / "node"
    root.mkdir()
    with real_centre(tmp_path / "centre") as centre:
        node = KilledNode(root, centre.url)
        try:
            (node_id,) = node.do("prepare", **centre.ask("invite", name="Мактаби №1"))["words"]
            sent_before = records(node.do("upload"))
            waiting = records(node.do("rating"))
            file = backup(root, "make")["file"]
            sent_after = records(node.do("upload"))
            at_the_centre = centre.ratings(node_id)
            assert set(at_the_centre) == sent_before | waiting | sent_after
            backup(root, "restore", file)
            assert not node.do("look", records=sorted(sent_before | waiting))["failed"]
            later = records(node.do("upload"))
            (said,) = node.do("say")["words"]
            kept = {record: tuple(value) for record, value in json.loads(said).items()}
            # What the school has, the centre has as the school has it; what came after the backup is safe there too.
            assert set(kept) == sent_before | waiting | later
            found = centre.ratings(node_id)
            assert {record: found[record] for record in kept} == kept
            assert {record: found[record] for record in sent_after} == {
                record: at_the_centre[record] for record in sent_after
            }
            assert set(found) == sent_before | waiting | sent_after | later
            backup(root, "undo")
            last = records(node.do("upload"))
            (said,) = node.do("say")["words"]
            kept = {record: tuple(value) for record, value in json.loads(said).items()}
            assert set(kept) == sent_before | waiting | sent_after | last
            found = centre.ratings(node_id)
            assert {record: found[record] for record in kept} == kept
            assert set(found) == sent_before | waiting | sent_after | later | last
        finally:
            node.end()
        # A restore that the program makes looks to nobody like a second PC.
        assert centre.rows("SELECT count(*) FROM feedback_clonealarm") == [(0,)]
