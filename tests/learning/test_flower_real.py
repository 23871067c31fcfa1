"""A real SuperLink with TLS and node authentication, a real SuperExec and real SuperNodes, on loopback."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from central.training.superlink import (
    FlowerKeyBurnt,
    SuperLinkUnreachable,
    node_unregister,
    run_status,
    run_stop,
    superlink_config,
    superlink_prepare,
)
from federation.learning.flower.processes import CONNECTION, flower_env
from node.rounds.supernode import ContactEnd, ContactReport, FlowerClient, contact_hold
from tests.real_superlink import School, SuperLink, pids_with, superlink_open, until

pytestmark = pytest.mark.slow

CLIENTS = pytest.mark.parametrize("client", list(FlowerClient))


@pytest.fixture(scope="module")
def superlink(tmp_path_factory) -> Iterator[SuperLink]:
    with superlink_open(tmp_path_factory.mktemp("superlink")) as link:
        yield link
        logging.getLogger(__name__).info("%s", {name: round(seconds, 1) for name, seconds in link.seconds.items()})


@CLIENTS
def test_two_schools_updates_land_byte_for_byte_and_no_process_is_left(superlink, tmp_path, client):
    schools = [School.make(f"school-{letter}-{client}", tmp_path / letter, client) for letter in "ab"]
    for school in schools:
        superlink.register(school)
    updates = {school.name: school.finish_update("season-1") for school in schools}
    inbox = tmp_path / "inbox"

    started = time.monotonic()
    run_id = superlink.start("season-1", inbox, wanted=2, duration_seconds=120)
    superlink.seconds["run submit"] = time.monotonic() - started
    superlink.seconds["run submit to ServerApp"] = superlink.seconds["run submit"] + until(
        (inbox / "season-1-4").exists, seconds=30
    )
    reports: dict[str, ContactReport] = {}

    def meet(school: School) -> None:
        landed = inbox / "season-1-4" / f"{school.name}-1.update"
        reports[school.name] = school.meet(superlink, landed)

    threads = [threading.Thread(target=meet, args=(school,)) for school in schools]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for school in schools:
        until((inbox / "season-1-4" / f"{school.name}-1.update").exists, seconds=60)
    superlink.seconds["supernode start to update in inbox"] = time.monotonic() - started
    for thread in threads:
        thread.join()
    superlink.seconds["supernodes started to ended"] = time.monotonic() - started

    record_path = inbox / "season-1-4" / f"run-{run_id}.json"
    until(record_path.exists, seconds=10)
    record = json.loads(record_path.read_text())
    assert (record["ended"], record["collected"]) == ("wanted", [school.name for school in schools])
    assert (record["season_id"], record["round_id"]) == ("season-1", "season-1-4")
    for school in schools:
        assert (inbox / "season-1-4" / f"{school.name}-1.update").read_bytes() == updates[school.name]
        assert reports[school.name].end is ContactEnd.RECEIVED
        assert school.processes() == []
    until(lambda: superlink.state(run_id) == "finished:completed", seconds=45)


@CLIENTS
def test_an_unregistered_key_is_refused_and_leaves_no_process(superlink, tmp_path, client):
    stranger = School.make("stranger", tmp_path, client)
    report = stranger.meet(superlink, tmp_path / "never", lease_seconds=30)
    assert (report.end, report.exit_status) == (ContactEnd.TRY_LATER, 1)
    assert stranger.processes() == []


def test_a_supernode_that_was_killed_may_try_again_later_only(superlink, tmp_path):
    school = School.make("school-f", tmp_path)
    superlink.register(school)

    def kill() -> bool:
        if b"SuperNode ID" in (tmp_path / "supernode.log").read_bytes():
            for pid in pids_with(str(tmp_path)):
                os.kill(pid, signal.SIGKILL)
        return False

    first = contact_hold(contact=school.contact(superlink), is_received=kill, lease_seconds=30)
    assert (first.end, first.exit_status) == (ContactEnd.FAILED, -signal.SIGKILL)
    assert school.meet(superlink, tmp_path / "never").end is ContactEnd.TRY_LATER


def test_a_durable_client_that_was_killed_is_back_at_once_and_hands_its_update_in(superlink, tmp_path):
    school = School.make("school-k", tmp_path / "school", FlowerClient.DURABLE)
    superlink.register(school)
    update = school.finish_update("season-k")
    inbox = tmp_path / "inbox"
    landed = inbox / "season-k-4" / "school-k-1.update"
    killed = []

    def kill() -> bool:
        # In the middle of its upload, whose session the SuperLink names only once.
        if not killed and (tmp_path / "school" / "flower" / "durable" / "letter" / "sending.json").exists():
            killed.extend(pids_with(str(tmp_path / "school")))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        return False

    superlink.start("season-k", inbox, wanted=1, duration_seconds=120)
    until((inbox / "season-k-4").exists, seconds=60)
    first = contact_hold(contact=school.contact(superlink), is_received=kill, lease_seconds=60, poll_seconds=0.01)
    assert (first.end, first.exit_status, bool(killed)) == (ContactEnd.FAILED, -signal.SIGKILL, True)
    second = school.meet(superlink, landed)
    assert second.end is ContactEnd.RECEIVED
    assert second.seconds < 50
    assert landed.read_bytes() == update


@CLIENTS
def test_a_supernode_ends_when_the_process_that_opened_it_is_killed(superlink, tmp_path, client):
    school = School.make(f"school-g-{client}", tmp_path, client)
    superlink.register(school)
    contact = school.contact(superlink)
    written = repr(contact).replace(repr(client), f"FlowerClient({client.value!r})")
    code = (
        "from pathlib import PosixPath; from node.rounds.supernode import Contact, FlowerClient, contact_hold\n"
        f"contact_hold(contact={written}, is_received=lambda: False, lease_seconds=60)"
    )
    opener = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    until(lambda: (log := contact.log_path).exists() and b"SuperNode ID" in log.read_bytes(), seconds=60)
    opener.kill()
    opener.wait()
    until(lambda: school.processes() == [], seconds=45)
    assert b"terminated gracefully" in contact.log_path.read_bytes()


def test_a_key_that_is_unregistered_in_mid_session_hands_nothing_in(superlink, tmp_path):
    school = School.make("school-r", tmp_path / "r")
    flower_node_id = superlink.register(school)
    school.finish_update("season-r")
    inbox, reports = tmp_path / "inbox", []
    landed = inbox / "season-r-4" / "school-r-1.update"
    meeting = threading.Thread(target=lambda: reports.append(school.meet(superlink, landed, lease_seconds=20)))
    meeting.start()
    log = school.contact(superlink).log_path
    until(lambda: log.exists() and b"SuperNode ID" in log.read_bytes(), seconds=60)
    node_unregister(root=superlink.root, port=superlink.port, flower_node_id=flower_node_id)
    run_id = superlink.start("season-r", inbox, wanted=1, duration_seconds=8)
    meeting.join()
    assert reports[0].end is not ContactEnd.RECEIVED
    assert not landed.exists()
    assert school.processes() == []
    record_path = inbox / "season-r-4" / f"run-{run_id}.json"
    until(record_path.exists, seconds=30)
    record = json.loads(record_path.read_text())
    assert record["collected"] == []


def test_the_same_key_registers_to_the_same_id_until_it_is_unregistered_for_good(superlink, tmp_path):
    school = School.make("school-c", tmp_path)
    flower_node_id = superlink.register(school)
    assert superlink.register(school) == flower_node_id
    for _ in range(2):
        node_unregister(root=superlink.root, port=superlink.port, flower_node_id=flower_node_id)
    with pytest.raises(FlowerKeyBurnt):
        superlink.register(school)


def test_code_in_a_bundle_from_the_server_never_runs_at_a_school(superlink, tmp_path):
    school = School.make("school-d", tmp_path / "d")
    superlink.register(school)
    update = school.finish_update("season-2")
    bundle, marker = tmp_path / "evil", tmp_path / "ran"
    (bundle / "federation").mkdir(parents=True)
    evil = f"from pathlib import Path\nPath({str(marker)!r}).touch()\napp = None\n"
    for path in ("evil.py", "federation/__init__.py"):
        (bundle / path).write_text(evil)
    (bundle / "pyproject.toml").write_text(
        '[project]\nname = "soro-round"\nversion = "1.0.0"\nlicense = "Apache-2.0"\ndescription = "x"\n'
        'dependencies = ["flwr==1.41.0"]\n[tool.flwr.app]\npublisher = "soro"\n'
        '[tool.flwr.app.components]\nserverapp = "collect:app"\nclientapp = "evil:app"\n'
        f'[tool.flwr.app.config]\nseason-id = "season-2"\nround-id = "season-2-4"\n'
        f'inbox = "{tmp_path}/inbox"\nwanted = 1\nduration-s = 60.0\nmax-update-bytes = 16777216\n'
    )
    # The centre itself must still find its own package, so its app is reached from a module of another name.
    (bundle / "collect.py").write_text(
        "import sys\nsys.path = [p for p in sys.path if '/apps/soro.' not in p]\n"
        "from federation.learning.flower import server\napp = server.app\n"
    )
    home = superlink_config(root=superlink.root, port=superlink.port).home
    subprocess.run(["flwr", "run", bundle, CONNECTION], check=True, env=flower_env(home=home), capture_output=True)
    landed = tmp_path / "inbox" / "season-2-4" / "school-d-1.update"
    assert school.meet(superlink, landed).end is ContactEnd.RECEIVED
    assert landed.read_bytes() == update
    assert not marker.exists()


def test_a_run_can_be_stopped_twice_and_keeps_what_was_collected(superlink, tmp_path):
    run_id = superlink.start("season-3", tmp_path, wanted=1, duration_seconds=120)
    until((tmp_path / "season-3-4").exists, seconds=30)
    (tmp_path / "season-3-4" / "school-e-1.update").write_bytes(b"x")
    for _ in range(2):
        run_stop(root=superlink.root, port=superlink.port, run_id=run_id)
    assert superlink.state(run_id) == "finished:stopped"
    assert (tmp_path / "season-3-4" / "school-e-1.update").exists()


def test_an_absent_superlink_is_named(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    superlink_prepare(root=tmp_path, port=port, hosts=[], now=datetime.now(UTC))
    with pytest.raises(SuperLinkUnreachable):
        run_status(root=tmp_path, port=port, run_id="1")
