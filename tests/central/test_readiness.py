"""Alive and ready are two questions: the first touches nothing, the second names what fails by code, no secret."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from django.core.cache import caches
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from central.celery import app
from central.readiness import readiness_read
from federation.demo.commands import LongRunning, wait_until
from tests.stations import does_answer, free_port

ROOT = Path(__file__).parents[2]
WELL = dict.fromkeys(("database", "migrations", "broker", "storage", "metadata"), "ok")


@pytest.fixture(autouse=True)
def nothing_kept():
    caches["knocks"].clear()


def test_alive_is_told_without_the_database(client):
    # pytest-django refuses every query of a test that does not ask for the database.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": "ok"})


@pytest.mark.django_db
def test_a_centre_with_keys_is_ready_and_one_without_is_not(client, keys):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, WELL)


@pytest.mark.django_db
def test_a_centre_without_keys_is_not_ready(client, disk):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, WELL | {"metadata": "repository_missing"})


@pytest.mark.django_db
def test_metadata_that_has_ended_is_told(disk, keys, now):
    assert readiness_read(disk=disk, now=now + timedelta(days=29))["metadata"] == "ok"
    assert readiness_read(disk=disk, now=now + timedelta(days=31))["metadata"] == "metadata_expired"


@pytest.mark.django_db
def test_tables_of_an_older_program_are_told(disk, keys, now):
    MigrationRecorder(connection).record_unapplied("courier", "0002_trip_region")
    assert readiness_read(disk=disk, now=now) == WELL | {"migrations": "migrations_missing"}


@pytest.mark.django_db
def test_a_broker_that_is_away_is_told(disk, keys, now):
    kept = app.conf.broker_url, app.conf.broker_write_url
    app.conf.broker_url = app.conf.broker_write_url = f"redis://user:geheim@127.0.0.1:{free_port()}/0"
    try:
        assert readiness_read(disk=disk, now=now) == WELL | {"broker": "broker_unreachable"}
    finally:
        app.conf.broker_url, app.conf.broker_write_url = kept


@pytest.mark.django_db
def test_a_disk_that_is_gone_is_told(disk, keys, now):
    disk.root.rename(disk.root.with_name("gone"))
    found = readiness_read(disk=disk, now=now)
    assert (found["storage"], found["database"]) == ("storage_unwritable", "ok")


@pytest.mark.slow
def test_a_real_centre_whose_database_is_away_is_alive_and_not_ready(tmp_path):
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    environment = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "SORO_CENTRAL_ROOT": str(tmp_path),
        "SORO_CENTRAL_DATABASE_URL": f"postgres://soro:geheim@127.0.0.1:{free_port()}/soro",
    }
    arguments = [sys.executable, "-m", "uvicorn", "central.asgi:application", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log, start_new_session=True)
    pages = LongRunning(name="pages", child=child, log=tmp_path / "log")
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until("start", lambda: does_answer(f"{address}/healthz"), what="its page", process=pages)
        answer = httpx.get(f"{address}/readyz", timeout=60)
    finally:
        pages.stop()

    assert answer.status_code == 503
    away = dict.fromkeys(("database", "migrations"), "database_unreachable")
    assert answer.json() == WELL | away | {"metadata": "repository_missing"}
    assert "geheim" not in answer.text
