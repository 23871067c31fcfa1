"""What the centre's tests start from: a clock that stands, keys, and schools that behave like real ones."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from django.db import connection
from kombu import Connection

from central import trust_root
from central.celery import app
from central.disk import CentreDisk
from central.schools.facts_triggers import CONSTRAINT
from tests.central.commands import environment_of
from tests.central.school import SimulatedSchool
from tests.services import (
    BROKERS,
    BUCKET,
    IS_ON_PRODUCTION_ENGINES,
    POSTGRESQL,
    bucket_server,
    service_missing,
)

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def facts_known_at_once(request):
    """A test's transaction is never committed, and PostgreSQL draws the number of shared facts at the commit."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET CONSTRAINTS {CONSTRAINT} IMMEDIATE")


@pytest.fixture
def now():
    return NOW


@pytest.fixture(scope="session")
def bucket_endpoint():
    """A server that speaks S3 on loopback."""
    with bucket_server() as address:
        yield address


@pytest.fixture
def disk(request, settings, tmp_path):
    settings.CENTRAL_ROOT = tmp_path / "central"
    settings.CENTRAL_ROOT.mkdir()
    if IS_ON_PRODUCTION_ENGINES:
        settings.S3_ENDPOINT = request.getfixturevalue("bucket_endpoint")
        settings.BLOBS_ADDRESS = f"s3://{BUCKET}/{uuid4().hex}"
    return CentreDisk(settings.CENTRAL_ROOT)


@pytest.fixture(scope="session", autouse=True)
def queue_removed():
    """Leave no message of a test in a real broker."""
    yield
    if IS_ON_PRODUCTION_ENGINES:
        with app.connection_for_write() as broker:
            broker.default_channel.queue_delete(app.conf.task_default_queue)


@pytest.fixture
def keys(disk, now):
    return trust_root.keys_make(now=now)


@pytest.fixture
def school(db, client, keys):
    """A school whose PC has enrolled and opened a session through the doors."""
    return SimulatedSchool.enrolled(client, name="Мактаби №1")


@pytest.fixture
def other_school(db, client, keys):
    return SimulatedSchool.enrolled(client, name="Мактаби №2")


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
    """Of a centre on PostgreSQL and each of the brokers."""
    engines = {"SORO_CENTRAL_DATABASE_URL": database_url, "SORO_CENTRAL_BROKER_URL": broker_url}
    return environment_of(tmp_path / "central", **engines)
