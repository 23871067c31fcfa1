"""The centre and a real SuperLink: nodes registered, revoked ones unregistered, a run for each collecting round."""

import os
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.utils import timezone

from central.schools.models import Node
from central.schools.services import node_revoke
from central.training.fleet import fleet_advance, runs_check
from central.training.models import Round
from central.training.rounds import round_abandon
from central.training.superlink import SuperLinkUnreachable, superlink_commands, superlink_is_healthy, superlink_prepare
from tests.central.test_rounds import _open

pytestmark = pytest.mark.slow


@pytest.fixture
def superlink(disk):
    """The port of a SuperLink with its SuperExec."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    superlink_prepare(root=disk.superlink, port=port, hosts=["127.0.0.1"], now=datetime.now(UTC))
    specs = superlink_commands(disk.superlink, port)
    processes = []
    try:
        for spec in specs:
            with Path(spec.log_path).open("wb") as log:
                processes.append(
                    subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log, start_new_session=True)
                )
        deadline = time.monotonic() + 60
        while not superlink_is_healthy(specs[0].health):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield port
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGINT)
        for process in processes:
            process.wait(timeout=30)


def test_the_superlink_follows_the_tables(school, other_school, disk, superlink):
    round_ = _open()
    for _ in range(2):
        fleet_advance(disk=disk, port=superlink, now=timezone.now())
    ids = list(Node.objects.values_list("flwr_node_id", flat=True))
    assert all(each.isdecimal() for each in ids)
    assert len(set(ids)) == 2
    run_id = Round.objects.get().flwr_run_id
    assert run_id.isdecimal()

    node_revoke(node=Node.objects.get(pk=school.node_id), actor="a", reason="", now=timezone.now())
    round_abandon(round_=round_, reason="test", now=timezone.now())
    fleet_advance(disk=disk, port=superlink, now=timezone.now())
    assert Node.objects.get(pk=school.node_id).flwr_node_id == ""
    assert Round.objects.get().flwr_run_id == run_id


def test_a_superlink_that_is_away_is_tried_again_later(school, disk):
    superlink_prepare(root=disk.superlink, port=9, hosts=["127.0.0.1"], now=datetime.now(UTC))
    _open()
    Round.objects.update(flwr_run_id="1")
    fleet_advance(disk=disk, port=9, now=timezone.now())
    with pytest.raises(SuperLinkUnreachable):
        runs_check(disk=disk, port=9)
    assert Node.objects.get().flwr_node_id == ""
    assert Round.objects.get().flwr_run_id == "1"
