"""The power is cut while a program is laid, at each step of the change-over, and on the way back."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from federation.trust.release_bytes import index_parse
from node.programs.place import python_tag
from node.programs.services import fetched_path
from node.root import DATABASE_NAME
from node.updater.laying import INCOMING, folder_of, program_lay
from node.updater.vouched import ready_digest
from tests.updater.conftest import OLD, TREE, environment, now
from tests.updater.program_changes import NEWER_TABLE

pytestmark = pytest.mark.slow
LAY = """
import sys
from pathlib import Path
from node.programs.place import ProgramPlace, python_tag
from tests.updater.test_power_cuts import index_at, now, program_lay
root, fetched = map(Path, sys.argv[1:])
program_lay(place=ProgramPlace(opt=root), index=index_at(fetched), form=python_tag(), fetched=fetched, now=now())
"""


def index_at(fetched):
    return index_parse((fetched / "index.json").read_bytes())


def lines_of_killed_updates(ready, scratch, newer, code):
    scratch.mkdir()
    argv = [sys.executable, "-m", "tests.updater.killed_update", str(ready), str(scratch), newer, code]
    ended = subprocess.run(argv, cwd=TREE, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_an_update_cut_at_any_touch_of_the_disk_is_brought_to_its_end(pc, offer, tmp_path):
    newer = offer(NEWER_TABLE)
    pc.contact()
    pc.service.stop()
    digest = ready_digest(pc.data)
    index = index_at(fetched_path(pc.data, digest))
    program_lay(place=pc.place, index=index, form=python_tag(), fetched=fetched_path(pc.data, digest), now=now())
    with closing(sqlite3.connect(pc.data / DATABASE_NAME)) as opened, opened:
        opened.execute("INSERT INTO people_schoolclass (name, code, grade, asks_pin) VALUES ('5А', '123', 5, 1)")
    # The change-over reads no more of a program than its manifest and index.
    for path in [*pc.place.versions.glob("*/venv"), *pc.place.versions.glob("*/wheels")]:
        shutil.rmtree(path)
    shutil.rmtree(fetched_path(pc.data, digest) / "wheels")

    for code, ends in (("", newer), ("program_page_silent", OLD)):
        lines = lines_of_killed_updates(pc.root, tmp_path / f"cuts-{ends}", newer, code)

        assert len(lines) > 30
        assert all(line["was_killed"] for line in lines)
        for line in lines:
            assert line["found"] == {
                "version": ends,
                "updater": ends,
                "phase": "idle",
                "given_up": [code] if code else [],
                "is_newer": not code,
                "rows": ["5А"],
                "check": "ok",
                "has_copy": False,
            }
            # At every moment the program that starts is one of the two, and the code that mends it a proven one.
            assert line["between"]["version"] in (OLD, newer)
            assert line["between"]["updater"] in (OLD, newer)
            assert line["between"]["rows"] == ["5А"]
        phases = {line["between"]["phase"] for line in lines}
        assert phases >= {"idle", "switching", "trial", "tidying"} | ({"going_back"} if code else set())


def test_a_program_that_was_cut_while_it_was_laid_is_laid_anew_and_whole(pc, offer):
    offer(NEWER_TABLE)
    pc.contact()
    fetched = fetched_path(pc.data, ready_digest(pc.data))
    version, draft = pc.place.versions / folder_of(index_at(fetched), python_tag()), pc.place.versions / INCOMING

    for is_there in (
        (draft / "wheels").exists,
        (draft / "venv/bin/python").exists,
        lambda: any(draft.glob("venv/lib/*/site-packages/node/chat")),
    ):
        shutil.rmtree(draft, ignore_errors=True)
        argv = [sys.executable, "-c", LAY, str(pc.place.opt), str(fetched)]
        process = subprocess.Popen(argv, cwd=TREE, start_new_session=True)
        until = time.monotonic() + 60
        while not is_there():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not version.exists()

    laid = program_lay(place=pc.place, index=index_at(fetched), form=python_tag(), fetched=fetched, now=now())
    assert laid == version
    assert not draft.exists()
    assert subprocess.run([str(version / "bin/soro"), "check"], env=environment(pc.data), check=False).returncode == 0
