"""The settings by environment: every mistake in one start, nothing that starts with one, and what production needs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from central.environment import LOOPBACK_NAMES, environment_read

ROOT = Path(__file__).parents[2]
SECRET = "geheim-7"
BAD = {
    "SORO_CENTRAL_HOST": "centre.example",
    "SORO_CENTRAL_SECOND_FACTOR": "Required",
    "SORO_CENTRAL_PROXIES": "one",
    "SORO_CENTRAL_DATABASE_URL": f"mysql://soro:{SECRET}@db/soro",
    "SORO_CENTRAL_BROKER_URL": f"rabbit://soro:{SECRET}@mq",
    "SORO_CENTRAL_HOSTS": "https://centre.example",
    "SORO_CENTRAL_ADDRESS": "centre.example",
    "SORO_CENTRAL_FLEET": "centre.example",
    "SORO_CENTRAL_BLOBS": "bucket",
    "SORO_CENTRAL_TLS": "1",
}
ALL_CODES = [f"central.E{number:03}" for number in range(1, 11)]


def codes(**variables):
    environ = {f"SORO_CENTRAL_{name}": value for name, value in variables.items()}
    return [mistake.code for mistake in environment_read(environ, root=Path("/nowhere")).mistakes]


def started(root, *words, **variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    environment = {**kept, "SORO_CENTRAL_ROOT": str(root), "PYTHONPATH": str(ROOT), **variables}
    # Beat writes its schedule to where it stands, before it asks Django anything.
    return subprocess.run(
        [sys.executable, *words], cwd=root, env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_an_empty_environment_is_an_embedded_centre_without_mistakes():
    read = environment_read({}, root=Path("/nowhere"))

    assert read.mistakes == ()
    assert (read.hosts, read.is_tls, read.hsts_seconds, read.proxies) == (LOOPBACK_NAMES, False, 0, 0)
    assert read.database["NAME"] == Path("/nowhere/central.sqlite3")
    # As docker compose and systemd write a variable that is not used.
    unused = {f"SORO_CENTRAL_{name}": "" for name in ("TLS", "PROXIES", "HOSTS", "ROOT")}
    assert environment_read(unused, root=Path("/nowhere")) == read


def test_all_mistakes_are_told_at_once_and_no_sentence_repeats_a_password():
    mistakes = environment_read(BAD, root=Path("/nowhere")).mistakes

    assert sorted(mistake.code for mistake in mistakes) == ALL_CODES
    assert all(mistake.text.endswith((".", "?")) for mistake in mistakes)
    assert SECRET not in "".join(mistake.text for mistake in mistakes)


def test_a_mistaken_database_is_no_database_rather_than_an_empty_one():
    for url in (BAD["SORO_CENTRAL_DATABASE_URL"], "postgres://db:port/soro", "postgres://db"):
        read = environment_read({"SORO_CENTRAL_DATABASE_URL": url}, root=Path("/nowhere"))
        assert read.database == {"ENGINE": "django.db.backends.dummy"}
        assert [mistake.code for mistake in read.mistakes] == ["central.E004"]


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"TLS": "1"}, "central.E010"),
        ({"TLS": "1", "PROXIES": "1", "ADDRESS": "http://centre.example"}, "central.E010"),
        ({"S3_ENDPOINT": "https://s3.example"}, "central.E010"),
        ({"BLOBS": "s3://bucket/soro", "BLOBS_ACCEL": "/_blobs/"}, "central.E010"),
        ({"BLOBS_ACCEL": "/_blobs"}, "central.E009"),
        ({"CHECKIN_SECONDS": "0"}, "central.E003"),
        ({"TICK_SECONDS": "nan"}, "central.E003"),
        ({"HOSTS": "centre.example:8440"}, "central.E006"),
        ({"ADDRESS": "https://centre.example/schools"}, "central.E007"),
        ({"ADDRESS": "https://user:password@centre.example"}, "central.E007"),
        ({"APPROVAL": "by-hand"}, "central.E002"),
    ],
)
def test_a_value_that_cannot_be_is_one_mistake(variables, code):
    assert codes(**variables) == [code]


@pytest.mark.parametrize(
    "variables",
    [
        {"TLS": "1", "PROXIES": "1", "ADDRESS": "https://centre.example"},
        {"HOSTS": "centre.example, .maorif.tj,[::1]"},
        {"BLOBS": "s3://soro-releases", "S3_ENDPOINT": "http://127.0.0.1:9000"},
        {"DATABASE_URL": "postgres://soro:p%40ss@db:5432/soro?sslmode=require", "BROKER_URL": "amqps://mq//"},
        {"FLEET": "north=c.example:8443/Суғд, ВМКБ; south=c.example:8444"},
    ],
)
def test_values_of_a_production_are_no_mistakes(variables):
    assert codes(**variables) == []


def test_cookies_keep_to_tls_and_the_proxys_header_is_believed_only_where_both_are_declared(tmp_path):
    asked = (
        "from central import settings as s; print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, "
        "s.SECURE_HSTS_SECONDS, s.SECURE_PROXY_SSL_HEADER and s.SECURE_PROXY_SSL_HEADER[0])"
    )
    trial = started(tmp_path, "-c", asked, SORO_CENTRAL_PROXIES="1")
    tls = started(tmp_path, "-c", asked, SORO_CENTRAL_PROXIES="1", SORO_CENTRAL_TLS="1", SORO_CENTRAL_HSTS_SECONDS="60")

    assert trial.stdout.split() == ["False", "False", "0", "None"]
    assert tls.stdout.split() == ["True", "True", "60", "HTTP_X_FORWARDED_PROTO"]


def test_a_command_tells_every_mistake_and_changes_nothing(tmp_path):
    done = started(
        tmp_path, str(ROOT / "manage.py"), "central", "migrate", SORO_CENTRAL_AUTHORITY="/nowhere.pem", **BAD
    )

    assert done.returncode == 1
    assert sorted(set(re.findall(r"\((central\.E\d+)\)", done.stderr))) == [*ALL_CODES, "central.E011"]
    assert SECRET not in done.stdout + done.stderr
    assert not (tmp_path / "central.sqlite3").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "import central.wsgi"),
        ("-c", "import central.asgi"),
        ("-m", "celery", "--app", "central.celery", "worker", "--pool", "solo"),
        ("-m", "celery", "--app", "central.celery", "beat"),
    ],
)
def test_neither_pages_nor_worker_nor_beat_start_with_a_mistake(tmp_path, words):
    done = started(tmp_path, *words, SORO_CENTRAL_SECOND_FACTOR="yes", SORO_CENTRAL_TICK="3")

    assert done.returncode != 0
    assert "central.E001" in done.stderr
    assert "central.E002" in done.stderr
    assert not (tmp_path / "central.sqlite3").exists()


def test_checks_for_production_name_each_default_of_a_trial(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "secret_key").write_text("x" * 60)
    (tmp_path / "keys" / "secret_key").chmod(0o644)
    done = started(tmp_path, str(ROOT / "manage.py"), "central", "check", "--deploy")

    assert done.returncode == 0
    told = set(re.findall(r"\(((?:central|signin)\.W\d+)\)", done.stderr))
    assert told == {*(f"central.W{number:03}" for number in range(1, 8)), "signin.W001"}


# What is written of them


def test_operations_has_a_line_for_every_setting_and_no_other():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(SORO_CENTRAL_\w+)` \|", page, flags=re.MULTILINE)
    code = (ROOT / "central" / "environment.py").read_text(encoding="utf-8")
    read = re.findall(r'reader\.\w+\(\s*"([A-Z0-9_]+)"', code) + re.findall(r'self\.text\("([A-Z_]+)"', code)

    assert len(told) == len(set(told))
    assert set(told) == {f"SORO_CENTRAL_{name}" for name in read}
    # Asked of the reader too, so that it does not hang on how the code is written.
    assert environment_read(dict.fromkeys(told, ""), root=Path("/nowhere")).mistakes == ()


def test_the_errors_page_has_every_id_of_a_check_and_no_other():
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+\.[EW]\d{3})` \|", page, flags=re.MULTILINE)
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "central").rglob("*.py"))

    assert set(told) == set(re.findall(r'"((?:central|releases|signin)\.[EW]\d{3})"', code))
    assert len(told) == len(set(told))
