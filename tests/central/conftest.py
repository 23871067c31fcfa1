"""What the centre's tests start from: a clock that stands, keys, and schools that behave like real ones."""

from datetime import UTC, datetime

import pytest
from django.db import connection

from central import trust_root
from central.disk import CentreDisk
from central.schools.facts_triggers import CONSTRAINT
from tests.central.school import SimulatedSchool

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


@pytest.fixture
def disk(settings, tmp_path):
    settings.CENTRAL_ROOT = tmp_path / "central"
    settings.CENTRAL_ROOT.mkdir()
    return CentreDisk(settings.CENTRAL_ROOT)


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
