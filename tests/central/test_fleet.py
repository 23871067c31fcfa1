"""The centre and a real SuperLink: nodes registered, revoked ones unregistered, a run for each collecting round."""

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone

from central.schools.models import Node, RetiredKey
from central.schools.services import node_revoke
from central.superlinks import SuperLinkSite, superlinks
from central.training.fleet import fleet_advance, runs_check, runs_forget
from central.training.models import FlowerRun
from central.training.rounds import round_abandon
from central.training.superlink import SuperLinkUnreachable, superlink_commands, superlink_is_healthy, superlink_prepare
from federation.learning.flower.registry import nodes_list
from node.rounds.supernode import Contact, ContactEnd, contact_hold
from tests.central.seasons import collecting, season_small
from tests.central.test_identity import rotate

pytestmark = pytest.mark.slow


def site_at(port):
    """The centre's only SuperLink, on this port."""
    return SuperLinkSite(name="", address=f"127.0.0.1:{port}")


@contextmanager
def running(root):
    """Run a SuperLink with its SuperExec under `root`, and give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    superlink_prepare(root=root, port=port, hosts=["127.0.0.1"], now=datetime.now(UTC))
    specs = superlink_commands(root, port)
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


@pytest.fixture
def superlink(disk):
    """The port of the centre's only SuperLink."""
    with running(disk.superlink) as port:
        yield port


def test_the_superlink_follows_the_tables(school, other_school, disk, superlink):
    round_ = collecting(season_small())
    for _ in range(2):
        fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    ids = list(Node.objects.values_list("flwr_node_id", flat=True))
    assert all(each.isdecimal() for each in ids)
    assert len(set(ids)) == 2
    run = FlowerRun.objects.get()
    assert (run.round, run.superlink, run.flwr_run_id.isdecimal()) == (round_, "", True)

    node_revoke(node=Node.objects.get(pk=school.node_id), actor="a", reason="", now=timezone.now())
    round_abandon(round_=round_, reason="test", now=timezone.now())
    fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    assert Node.objects.get(pk=school.node_id).flwr_node_id == ""
    assert sorted(FlowerRun.objects.values_list("round__number", flat=True)) == [1, 2]
    deadline = time.monotonic() + 60
    while FlowerRun.objects.filter(round=round_).exists():
        assert time.monotonic() < deadline
        time.sleep(0.5)
        fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())


def test_each_of_two_superlinks_has_the_nodes_of_its_regions_and_a_run_of_its_own(school, other_school, disk, settings):
    far = Node.objects.get(pk=other_school.node_id)
    far.school.region = "Суғд"
    far.school.save()
    round_ = collecting(season_small())
    with running(disk.superlinks / "north") as north, running(disk.superlinks / "south") as south:
        settings.FLEET_ADDRESS = f"north=127.0.0.1:{north}/Суғд; south=127.0.0.1:{south}"
        for site, node in zip(superlinks(), (far, Node.objects.get(pk=school.node_id)), strict=True):
            fleet_advance(site=site, disk=disk, now=timezone.now())
            node.refresh_from_db()
            listed = nodes_list(
                superlink=f"localhost:{site.port}",
                root_certificates=(site.root(disk) / "tls" / "ca.pem").read_bytes(),
            )
            assert [(each["name"], each["node-id"]) for each in listed] == [(str(node.pk), node.flwr_node_id)]
    assert sorted(round_.runs.values_list("superlink", flat=True)) == ["north", "south"]


def test_runs_of_superlinks_that_are_about_to_start_are_forgotten_and_no_others(school):
    round_ = collecting(season_small())
    for name in ("north", "south"):
        FlowerRun.objects.create(round=round_, superlink=name, flwr_run_id="1")
    assert runs_forget(sites=[SuperLinkSite(name="south", address="127.0.0.1:9")]) == 1
    assert list(FlowerRun.objects.values_list("superlink", flat=True)) == ["north"]


def test_a_superlink_that_is_away_is_tried_again_later(school, disk):
    superlink_prepare(root=disk.superlink, port=9, hosts=["127.0.0.1"], now=datetime.now(UTC))
    FlowerRun.objects.create(round=collecting(season_small()), flwr_run_id="1")
    fleet_advance(site=site_at(9), disk=disk, now=timezone.now())
    with pytest.raises(SuperLinkUnreachable):
        runs_check(site=site_at(9), disk=disk)
    assert Node.objects.get().flwr_node_id == ""
    assert FlowerRun.objects.get().flwr_run_id == "1"


def _supernode(school, disk, superlink, tmp_path, *, lease_seconds):
    """Return how a contact of the school's PC with the SuperLink ends, which nobody ever acknowledges."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "node.pem").write_bytes(school.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    contact = Contact(
        superlink=f"localhost:{superlink}",
        authority=disk.superlink / "tls" / "ca.pem",
        node_key=tmp_path / "node.pem",
        outbox=tmp_path / "outbox",
        home=tmp_path / "flower",
        log_path=tmp_path / "supernode.log",
    )
    return contact_hold(contact=contact, is_received=lambda: False, lease_seconds=lease_seconds)


def test_flower_follows_a_rotation_and_refuses_the_old_key_for_good(school, disk, superlink, tmp_path):
    fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    first = Node.objects.get().flwr_node_id
    old, new = school.key, ec.generate_private_key(ec.SECP384R1())
    assert rotate(school, new=new).status_code == 200
    fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    assert RetiredKey.objects.get().flwr_node_id == ""
    assert Node.objects.get().flwr_node_id not in ("", first)
    report = _supernode(school, disk, superlink, tmp_path / "old", lease_seconds=20)
    assert report.end in (ContactEnd.TRY_LATER, ContactEnd.FAILED)
    assert school.key is old
    school.key = new
    assert _supernode(school, disk, superlink, tmp_path / "new", lease_seconds=6).end is ContactEnd.LEASE_OVER


def test_a_supernode_that_is_connected_when_its_node_is_revoked_is_put_out(school, disk, superlink, tmp_path):
    fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(_supernode(school, disk, superlink, tmp_path, lease_seconds=60))
    )
    thread.start()
    log = tmp_path / "supernode.log"
    deadline = time.monotonic() + 30
    while not (log.exists() and b"SuperNode ID" in log.read_bytes()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    node_revoke(node=Node.objects.get(), actor="a", reason="stolen", now=timezone.now())
    fleet_advance(site=site_at(superlink), disk=disk, now=timezone.now())
    unregistered = time.monotonic()
    thread.join(timeout=60)
    assert time.monotonic() - unregistered < 40
    assert ended[0].end in (ContactEnd.TRY_LATER, ContactEnd.FAILED), log.read_text()
    assert ended[0].exit_status is not None
