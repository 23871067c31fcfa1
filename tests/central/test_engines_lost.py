"""Broker and bucket are lost under work and come back: nothing that was asked for is lost, and people hear of it.

The broker comes back empty, as one does whose disk is gone. What is to be done stands in tables alone.
"""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from kombu import Connection

from tests.central.commands import ROOT, manage
from tests.node.faults import package_make
from tests.node.test_killed import KilledNode
from tests.real_centre import real_centre
from tests.services import BUCKET, BUCKET_VARIABLES
from tests.tcp_door import TcpDoor

pytestmark = pytest.mark.slow
PATIENCE_SECONDS = 90.0
AT_ONCE_SECONDS = 10.0
"""Within which a person's deed is done while the broker is away."""
BEFORE = """
from django.core.management import call_command
from django.utils import timezone
from central.schools.invitations import school_invite
call_command("migrate", verbosity=0)
call_command("createcachetable", verbosity=0)
school_invite(name="Мактаби №1", region="", actor="test", now=timezone.now())
"""
MEANWHILE = """
import time
from django.utils import timezone
from central.schools.invitations import school_invite
from central.schools.services import node_revoke
began = time.monotonic()
node = school_invite(name="Мактаби №2", region="", actor="test", now=timezone.now()).node
node_revoke(node=node, actor="test", reason="", now=timezone.now())
print(time.monotonic() - began)
"""
UNLINKED = """
SELECT count(*) FROM schools_auditevent e
WHERE NOT EXISTS (SELECT 1 FROM schools_auditlink l WHERE l.event_id = e.id)
"""


def until(what, claim, log):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, f"{what}: {log.read_text()[-3000:]}"
        time.sleep(0.2)


@pytest.fixture
def door(broker_url):
    """A door to the real broker."""
    place = urlsplit(broker_url)
    door = TcpDoor((place.hostname, place.port))
    yield door
    door.shut()


@pytest.fixture
def queue(broker_url):
    """The name of a queue there that is the test's own."""
    name = f"test-{uuid4().hex[:8]}"
    yield name
    queue_empty(broker_url, name)


def queue_empty(address, name):
    with Connection(address) as connection:
        connection.default_channel.queue_delete(name)


@contextmanager
def parts(environment, log):
    """Run worker and beat, as units do; yield them."""
    argv = [sys.executable, str(ROOT / "manage.py"), "central", "part"]
    with log.open("wb") as stream:
        running = [
            subprocess.Popen([*argv, name], env=environment, stdout=stream, stderr=stream)
            for name in ("worker", "beat")
        ]
    try:
        yield running
    finally:
        for child in running:
            child.terminate()
        for child in running:
            child.wait(timeout=60)


def test_a_broker_that_is_lost_with_all_its_messages_delays_work_and_loses_none(
    tmp_path,
    database_url,
    broker_url,
    environment,
    door,
    queue,
):
    environment |= {
        "SORO_CENTRAL_BROKER_URL": broker_url.replace(str(urlsplit(broker_url).port), str(door.port)),
        "SORO_CENTRAL_QUEUE": queue,
        "SORO_CENTRAL_TICK_SECONDS": "1",
        "SORO_CENTRAL_FLEET": "",
    }
    log = tmp_path / "parts.log"

    def unlinked():
        with psycopg.connect(database_url.replace("postgres://", "postgresql://")) as database:
            return database.execute(UNLINKED).fetchone()[0]

    manage(environment, "shell", "--no-imports", "--command", BEFORE)
    assert unlinked() > 0
    with parts(environment, log) as running:
        until("work before the loss", lambda: unlinked() == 0, log)
        door.shut()
        queue_empty(broker_url, queue)
        assert float(manage(environment, "shell", "--no-imports", "--command", MEANWHILE)) < AT_ONCE_SECONDS
        assert unlinked() > 0
        door.open()
        until("work after the loss", lambda: unlinked() == 0, log)
        assert [child.poll() for child in running] == [None, None]


def test_a_bucket_that_is_lost_under_a_schools_fetch_delays_the_release_and_nothing_else(tmp_path, bucket_endpoint):
    root = tmp_path / "node"
    root.mkdir()
    place = urlsplit(bucket_endpoint)
    door = TcpDoor((place.hostname, place.port))
    bucket = {
        "SORO_CENTRAL_BLOBS": f"s3://{BUCKET}/{uuid4().hex}",
        "SORO_CENTRAL_S3_ENDPOINT": f"http://127.0.0.1:{door.port}",
        **BUCKET_VARIABLES,
    }
    with real_centre(tmp_path / "centre", **bucket) as centre:
        node = KilledNode(root, centre.url)
        try:
            (node_id,) = node.do("prepare", **centre.ask("invite", name="Мактаби №1"))["words"]
            folder = package_make(tmp_path / "package", size_bytes=600_000)
            (folder / "model.bin").write_bytes(os.urandom(600_000))
            release = centre.ask("offer", folder=str(folder))["digest"]
            # It is lost within the file.
            door.shuts_after_bytes = 300_000
            assert node.do("meet")["words"] == ["blob_unavailable"]
            assert httpx.get(f"{centre.url}/readyz", timeout=60).json()["storage"] == "storage_away"
            sent = [word.split()[1] for word in node.do("upload")["words"] if word.startswith("record ")]
            assert set(sent) == set(centre.ratings(node_id))
            assert not (root / "releases").exists()
            door.open()
            assert not node.do("finish", release=release)["failed"]
            assert node.do("look", records=sent)["words"] == [release]
        finally:
            node.end()
            door.shut()
