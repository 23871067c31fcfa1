"""The worker over the brokers and the database of production, where they answer.

Without them the tests are skipped with the reason; REQUIRE_SERVICES=1 turns a skip into a failure.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from kombu import Connection

from tests.services import service_missing

ROOT = Path(__file__).parents[2]
POSTGRESQL = os.environ.get("SORO_TEST_POSTGRESQL", "postgres://postgres@127.0.0.1:5432/postgres")
BROKERS = {
    "redis": os.environ.get("SORO_TEST_REDIS", "redis://127.0.0.1:6379/15"),
    "rabbitmq": os.environ.get("SORO_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
}
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


@pytest.fixture
def database_url():
    """A new, empty PostgreSQL database, dropped afterwards."""
    name = f"soro_test_{uuid4().hex[:12]}"
    try:
        server = psycopg.connect(POSTGRESQL.replace("postgres://", "postgresql://"), autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        service_missing("PostgreSQL", error)
    with server:
        server.execute(f"CREATE DATABASE {name}")
        yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=BROKERS)
def broker_url(request):
    try:
        with Connection(BROKERS[request.param], connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except Exception as error:  # noqa: BLE001 - each broker's client has its own errors
        service_missing(request.param, error)
    return BROKERS[request.param]


@pytest.fixture
def environment(tmp_path, database_url, broker_url):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    return {
        **kept,
        "SORO_CENTRAL_ROOT": str(tmp_path / "central"),
        "SORO_CENTRAL_DATABASE_URL": database_url,
        "SORO_CENTRAL_BROKER_URL": broker_url,
        "DJANGO_SETTINGS_MODULE": "central.settings",
        "PYTHONPATH": str(ROOT),
    }


def _manage(environment, *words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "central", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_a_prefork_worker_does_the_work_that_the_web_process_has_sent(environment, tmp_path):
    queue = f"test-{uuid4().hex[:8]}"
    environment["SORO_CENTRAL_QUEUE"] = queue
    _manage(environment, "migrate", "--verbosity", "0")
    _manage(environment, "shell", "--no-imports", "--command", SCHOOLS)
    assert _manage(environment, "shell", "--no-imports", "--command", LEFT) == "1"
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", "central.celery", "worker", "--concurrency", "2"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while _manage(environment, "shell", "--no-imports", "--command", LEFT) != "0":
            assert time.monotonic() < deadline, (tmp_path / "worker.log").read_text()
    finally:
        worker.terminate()
        worker.wait(timeout=30)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
    with Connection(environment["SORO_CENTRAL_BROKER_URL"]) as connection:
        connection.default_channel.queue_delete(queue)


@pytest.mark.slow
def test_the_suite_of_the_centre_passes_on_postgresql(database_url):
    """Rows, constraints and locks behave as on SQLite."""
    environment = {**os.environ, "SORO_TEST_DATABASE_URL": database_url}
    tests = ["parcels", "rollouts", "enrolment", "rounds", "releases", "shared_facts"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *(f"tests/central/test_{t}.py" for t in tests),
        ],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
