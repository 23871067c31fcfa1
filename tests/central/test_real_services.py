"""The worker over the brokers and the database of production, where they answer.

Without them the tests are skipped with the reason; REQUIRE_SERVICES=1 turns a skip into a failure.
"""

import subprocess
import sys
import time
from uuid import uuid4

import pytest
from kombu import Connection

from tests.central.commands import manage

SCHOOLS = """
from django.utils import timezone
from central.schools.models import Nonce
from central.schools.invitations import school_invite
from central.schools.tasks import credentials_sweep
node = school_invite(name="Мактаби №1", region="", actor="test", now=timezone.now()).node
Nonce.objects.create(node=node, value="old", expires_at=timezone.now())
for _ in range(3):
    credentials_sweep.delay()
"""
LEFT = "from central.schools.models import Nonce; print(Nonce.objects.count())"


@pytest.mark.slow
def test_a_prefork_worker_does_the_work_that_the_web_process_has_sent(environment, tmp_path):
    queue = f"test-{uuid4().hex[:8]}"
    environment["SORO_CENTRAL_QUEUE"] = queue
    manage(environment, "migrate", "--verbosity", "0")
    manage(environment, "shell", "--no-imports", "--command", SCHOOLS)
    assert manage(environment, "shell", "--no-imports", "--command", LEFT) == "1"
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "central.celery", "worker", "--concurrency", "2"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while manage(environment, "shell", "--no-imports", "--command", LEFT) != "0":
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
    finally:
        worker.terminate()
        worker.wait(timeout=30)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
    with Connection(environment["SORO_CENTRAL_BROKER_URL"]) as connection:
        connection.default_channel.queue_delete(queue)
