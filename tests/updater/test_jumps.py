"""A school may jump over any number of versions: every migration of the node runs from any state that was shipped."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from node.children import child_environment
from tests.updater.jumped_migrations import OWN

TREE = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_database_of_any_shipped_version_jumps_to_the_present_one_and_keeps_its_rows(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.updater.jumped_migrations", str(tmp_path)],
        env=child_environment(tmp_path / "node"),
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    jumps = [json.loads(line) for line in ended.stdout.splitlines()]

    written = {f"{app}.{path.stem}" for app in OWN for path in (TREE / "node" / app / "migrations").glob("0*.py")}
    assert {jump["from"] for jump in jumps} == written
    newest = jumps[-1]["columns"]
    for jump in jumps:
        assert (jump["left"], jump["broken"]) == (0, 0), jump["from"]
        assert jump["columns"] == newest, jump["from"]
        assert jump["kept"] == jump["had"], jump["from"]
    assert jumps[-1]["had"] == [1, 1, 1]
