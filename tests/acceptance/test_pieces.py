"""What stands in for systemd, and the summary: tried without a centre and without networks."""

import json
import os
import subprocess
import sys
import time

import pytest

from federation.demo.errors import StepFailed
from tests.acceptance import systemctl
from tests.acceptance.stations import STATIONS, together
from tests.acceptance.summary import Summary
from tests.real_superlink import pids_with


@pytest.fixture
def root(tmp_path):
    """A folder laid out like a PC's root, with a program that says its words and waits."""
    (tmp_path / systemctl.UNITS).mkdir(parents=True)
    (tmp_path / "etc/soro").mkdir()
    (tmp_path / "etc/soro/environment").write_text("# the port\nSORO_PORT=8450\n")
    program = tmp_path / "opt/soro/current/bin/soro"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        "print(sys.argv[1:], os.environ['SORO_NODE_ROOT'], flush=True)\ntime.sleep(600)\n"
    )
    program.chmod(0o755)
    return tmp_path


def unit_write(root, name, *lines):
    (root / systemctl.UNITS / name).write_text("\n".join(("[Service]", *lines)))
    return systemctl.Unit(root, name)


def ask(root, *words):
    environment = {"PATH": os.environ["PATH"], systemctl.FOLDER_VARIABLE: str(root)}
    return subprocess.run([sys.executable, systemctl.__file__, *words], env=environment, check=False).returncode


def node_unit(root):
    return unit_write(
        root,
        "soro.service",
        "User=soro",
        "Environment=SORO_NODE_ROOT=/var/lib/soro",
        "EnvironmentFile=/etc/soro/environment",
        "ExecStart=/opt/soro/current/bin/soro run --port ${SORO_PORT}",
    )


def test_a_unit_runs_its_own_command_with_its_own_settings_below_the_folder(root):
    unit = node_unit(root)
    assert ask(root, "start", "soro.service") == 0
    try:
        first = unit.pid
        assert first
        # What runs is left alone by a second start.
        assert ask(root, "start", "soro.service") == 0
        assert unit.pid == first
        while not unit.log.read_text():
            time.sleep(0.05)
        assert unit.log.read_text().split("\n")[0] == f"['run', '--port', '8450'] {root}/var/lib/soro"
    finally:
        assert ask(root, "stop", "soro.service") == 0
    assert unit.pid == 0
    assert pids_with(str(root)) == {}


def test_a_target_stops_at_the_first_unit_that_fails(root):
    unit_write(root, "first.service", "Type=oneshot", "ExecStart=/usr/bin/false")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/false").symlink_to("/bin/false")
    unit = node_unit(root)
    (root / systemctl.UNITS / "soro.target").write_text("[Unit]\nWants=first.service soro.service\n")

    assert ask(root, "start", "soro.target") == 1

    assert unit.pid == 0


def test_what_the_installer_asks_besides_is_no_failure(root):
    node_unit(root)
    for words in (("daemon-reload",), ("enable", "--quiet", "--now", "soro-update.timer"), ("reset-failed", "soro.service")):  # fmt: skip  # noqa: E501
        assert ask(root, *words) == 0


def test_the_summary_tells_what_was_done_and_where_it_ended(tmp_path):
    summary = Summary()
    summary.begin("centre", "The centre starts")
    with pytest.raises(ValueError, match="centre is under way"):
        summary.end("enrol", counted={}, seconds=1.0)
    summary.end("centre", counted={"parts": 6}, seconds=2.5)
    summary.begin("release", "Release 1")
    summary.failed = "the gate refused it."

    told = json.loads(summary.write(tmp_path).read_text())

    assert (told["ok"], told["failed"], told["seconds"]) == (False, "the gate refused it.", 2.5)
    assert [(each["station"], each["is_done"], each["counted"]) for each in told["stations"]] == [
        ("centre", True, {"parts": 6}),
        ("release", False, {}),
    ]


def test_what_fails_at_one_school_ends_the_station_once_the_others_are_done():
    done = []

    def act(school):
        if school == "second":
            raise StepFailed(step="install", reason="no room", log="")
        done.append(school)

    with pytest.raises(StepFailed, match="no room"):
        together(["first", "second", "third"], act)

    assert sorted(done) == ["first", "third"]


def test_stations_have_names_of_their_own_and_the_count_is_the_last():
    names = [name for name, _title, _station in STATIONS]

    assert len(set(names)) == len(names)
    assert names[-1] == "count"
