"""What deploy/ ships, as far as one machine can try it: clean settings, units, a real nginx, containers' parts."""

import os
import re
import shutil
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from central.disk import CentreDisk
from central.environment import environment_read
from central.training.superlink import superlink_prepare
from federation.demo.commands import CommandLine, LongRunning, wait_until
from tests.postgresql_cluster import DEPLOY
from tests.services import service_missing
from tests.shipped import nginx_argv, settings_shipped, site_filled
from tests.stations import EMBEDDED, does_answer, free_port
from tests.tls_files import TestAuthority

ROOT = Path(__file__).parents[2]
PARTS = {"web", "worker", "beat", "metrics", "superlink", "superexec"}
COMPOSE = yaml.safe_load((DEPLOY / "container" / "compose.yml").read_text(encoding="utf-8"))
NAME = "centre.example"


def environment(**own):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **own}


def test_the_settings_that_are_shipped_pass_every_check_for_production(tmp_path):
    shipped = settings_shipped() | {"SORO_CENTRAL_ROOT": str(tmp_path)}
    argv = [sys.executable, str(ROOT / "manage.py"), "central", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(argv, env=environment(**shipped), capture_output=True, text=True, timeout=300, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "no issues" in done.stdout


def test_a_part_that_the_centre_does_not_have_is_refused_with_those_that_it_has(tmp_path):
    argv = [sys.executable, str(ROOT / "manage.py"), "central", "part", "metrics"]
    own = {"SORO_CENTRAL_ROOT": str(tmp_path)}
    done = subprocess.run(argv, env=environment(**own), capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 1
    assert "no part metrics" in done.stderr
    assert "web, worker, superlink, superexec" in done.stderr


# systemd


def units():
    """Return those of the centre's parts; the others have a timer that starts them."""
    services = sorted((DEPLOY / "systemd").glob("*.service"))
    return [unit for unit in services if not unit.with_suffix(".timer").exists()]


def test_every_part_has_a_unit_that_the_target_starts():
    started = {re.search(r"central part (\w+)", unit.read_text())[1] for unit in units() if "central part" in unit.read_text()}  # fmt: skip  # noqa: E501
    target = (DEPLOY / "systemd" / "soro.target").read_text()

    assert started == PARTS
    assert set(re.findall(r"soro-\w+\.service", target)) == {unit.name for unit in units()}


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    program = shutil.which("systemd-analyze")
    if program is None:
        service_missing("systemd-analyze", "not installed")
    for unit in (DEPLOY / "systemd").iterdir():
        text = unit.read_text().replace("/srv/soro/app/.venv/bin/python", sys.executable)
        (tmp_path / unit.name).write_text(text.replace("/srv/soro/app", str(ROOT)))
    done = subprocess.run(
        [program, "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "soro" in line]
    assert (done.returncode, told) == (0, [])


# nginx


@pytest.fixture(scope="module")
def in_front(tmp_path_factory):
    """Return the addresses of a real nginx before a real centre, http, https and fleet, and the centre's log."""
    program = os.environ.get("SORO_TEST_NGINX") or shutil.which("nginx")
    if program is None:
        service_missing("nginx", "not installed")
    scratch, disk = tmp_path_factory.mktemp("nginx"), CentreDisk(tmp_path_factory.mktemp("central"))
    port, plain, tls, fleet, away = (free_port() for _ in range(5))
    own = {"SORO_CENTRAL_HOSTS": NAME, "SORO_CENTRAL_TLS": "1", "SORO_CENTRAL_PROXIES": "1", "SORO_CENTRAL_LOG": "json"}
    commands = CommandLine(project="central", root=disk.root, environment={**EMBEDDED, **own})
    commands.run("start", "migrate", "--verbosity", "0")
    centre = commands.start("part", "web", "--port", str(port))
    now = datetime.now(UTC)
    certificate, key = TestAuthority.make(begins=now - timedelta(days=1)).server(
        scratch, begins=now - timedelta(days=1), days=30
    )
    certificate.rename(scratch / "fullchain.pem")
    key.rename(scratch / "privkey.pem")
    superlink_prepare(root=disk.superlink, port=away, hosts={NAME}, now=now)
    values = {
        "SORO_NAME": NAME,
        "SORO_TLS": scratch,
        "SORO_ROOT": disk.root,
        "SORO_HTTP": f"127.0.0.1:{plain}",
        "SORO_HTTPS": f"127.0.0.1:{tls}",
        "SORO_FLEET_LISTEN": f"127.0.0.1:{fleet}",
        "SORO_FLEET_PORT": away,
    }
    path = scratch / "site.conf"
    path.write_text(site_filled(values).replace("http://127.0.0.1:8440", f"http://127.0.0.1:{port}"))
    words = nginx_argv(program, site=path, scratch=scratch)
    tried = subprocess.run([*words, "-t"], capture_output=True, text=True, timeout=120, check=False)
    assert tried.returncode == 0, tried.stderr
    with (scratch / "log").open("wb") as log:
        child = subprocess.Popen(words, stderr=log, start_new_session=True)
    nginx = LongRunning(name="nginx", child=child, log=scratch / "log")
    try:
        wait_until("start", lambda: does_answer(f"http://127.0.0.1:{port}/healthz"), what="its page", process=centre)
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}", f"https://127.0.0.1:{fleet}", centre.log
    finally:
        nginx.stop()
        centre.stop()


def asked(url, **headers):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return httpx.get(url, headers={"Host": NAME, **headers}, verify=context, timeout=60)


@pytest.mark.slow
def test_behind_nginx_people_are_sent_to_tls_and_told_to_keep_to_it(in_front):
    plain, tls, _fleet, _log = in_front

    sent = asked(f"{plain}/admin/?next=1")
    assert (sent.status_code, sent.headers["Location"]) == (308, f"https://{NAME}/admin/?next=1")
    page = asked(f"{tls}/admin/login/")
    assert page.status_code == 200
    assert page.headers["Strict-Transport-Security"] == "max-age=2592000"
    cookie = next(told for told in page.headers.get_list("Set-Cookie") if told.startswith("csrftoken="))
    assert "Secure" in cookie
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


@pytest.mark.slow
def test_nginx_writes_anew_what_the_centre_believes_of_it(in_front):
    _plain, tls, _fleet, log = in_front
    forged = asked(f"{tls}/healthz", **{"X-Forwarded-Proto": "http", "X-Request-ID": "given-by-nginx-2"})

    # Told only over TLS: what the caller said of it was not believed.
    assert "Strict-Transport-Security" in forged.headers
    assert '"request_id": "given-by-nginx-2"' in log.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/_blobs/aa/aa"])
def test_nginx_does_not_publish_what_is_for_the_machine_itself(in_front, path):
    answer = asked(f"{in_front[1]}{path}")
    assert (answer.status_code, "nginx" in answer.text) == (404, True)


@pytest.mark.slow
def test_of_the_superlink_only_the_fleets_path_gets_through(in_front):
    # No SuperLink runs here: the path that is open ends in 502, all others before they get so far.
    assert asked(f"{in_front[2]}/v1/fleet/ping").status_code == 502
    for path in ("/v1/control/start-run", "/v1/runtime/x", "/health", "/v1/fleet/../control/x"):
        assert asked(f"{in_front[2]}{path}").status_code == 404, path


# Containers


def commands_of(service):
    own = COMPOSE["services"][service]
    return own["command"] if isinstance(own.get("command"), list) else []


def test_compose_has_a_service_for_every_part_with_settings_that_are_no_mistakes():
    started = {commands_of(name)[1] for name in COMPOSE["services"] if commands_of(name)[:1] == ["part"]}
    assert started == PARTS

    filled = {"POSTGRES_PASSWORD": "x", "SORO_NAME": NAME}
    for name in COMPOSE["services"]:
        if commands_of(name)[:1] != ["part"]:
            continue
        given = COMPOSE["services"][name]["environment"]
        own = {key: re.sub(r"\$\{(\w+):\?\}", lambda found: filled[found[1]], value) for key, value in given.items()}
        read = environment_read(settings_shipped() | own, root=Path("/srv/soro/centre"))
        assert read.mistakes == ()


def timers():
    return sorted(path.stem for path in (DEPLOY / "systemd").glob("*.timer"))


def does_once(service, tmp_path, *, status):
    """Return what a service calls, and for how long it then sleeps, where its program ends with `status`."""
    (words,) = COMPOSE["services"][service]["command"]
    programs = {"soro-backup-database": status, "python": status}
    for name, ends in programs.items():
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/called\nexit {ends}\n')
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/slept\nkill $PPID\n')
    for name in (*programs, "sleep"):
        (tmp_path / name).chmod(0o755)
    script = words.replace("$$", "$").replace("/srv/soro/backup/", "")
    subprocess.run(["sh", "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, timeout=60, check=False)
    return (tmp_path / "called").read_text().splitlines(), int((tmp_path / "slept").read_text())


def test_compose_has_a_service_for_every_timer_of_systemd_that_calls_the_same_program():
    assert timers() == sorted(f"soro-{name}" for name in COMPOSE["services"] if name.startswith("backup-"))
    for timer in timers():
        unit = (DEPLOY / "systemd" / f"{timer}.service").read_text(encoding="utf-8")
        program = re.search(r"^ExecStart=\S*?(soro-backup-\S+ .*|manage\.py .*)$", unit, flags=re.MULTILINE)
        program = program or re.search(r"^ExecStart=\S+ \S*?(manage\.py .*)$", unit, flags=re.MULTILINE)
        own = COMPOSE["services"][timer.removeprefix("soro-")]
        assert program[1] in own["command"][0]
        assert own["restart"] == "unless-stopped"
        assert "${SORO_BACKUP:?}:/srv/soro-backup" in own["volumes"]


def test_the_loop_of_a_service_copies_at_once_and_again_within_its_term(tmp_path):
    for service, told, most in (
        ("backup-database", "soro-backup-database /srv/soro-backup 7", timedelta(days=1, seconds=1)),
        ("backup-files", "python manage.py central backup files /srv/soro-backup/files", timedelta(minutes=15)),
    ):
        for status in (0, 1):
            folder = tmp_path / f"{service}-{status}"
            folder.mkdir()
            called, seconds = does_once(service, folder, status=status)
            assert called == [told]
            # What failed does not wait for the next night.
            assert 0 < seconds <= (most.total_seconds() if status == 0 else 900)


def test_postgresql_in_a_container_archives_as_on_a_server():
    shipped = (DEPLOY / "postgresql" / "soro-archive.conf").read_text(encoding="utf-8")
    lines = [line.split(" = ", 1) for line in shipped.splitlines() if " = " in line and not line.startswith("#")]
    first, *words = COMPOSE["services"]["database"]["command"]

    assert first == "postgres"
    assert words == [f"-c{name}={value.strip(chr(39))}" for name, value in lines]
    assert "${SORO_BACKUP:?}:/srv/soro-backup" in COMPOSE["services"]["database"]["volumes"]


def test_parts_may_look_at_the_copies_and_change_none():
    for name in PARTS:
        assert "${SORO_BACKUP:?}:/srv/soro-backup:ro" in COMPOSE["services"][name]["volumes"]
    assert settings_shipped()["SORO_CENTRAL_BACKUP"] == "/srv/soro-backup"


def test_compose_fills_every_place_of_nginxs_site():
    text = (DEPLOY / "nginx" / "soro-centre.conf.template").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{(SORO_\w+)\}", text)) == set(COMPOSE["services"]["nginx"]["environment"])


def test_all_that_shares_the_superlinks_loopback_and_files_that_are_named_are_there():
    for name in PARTS - {"superlink"} | {"nginx", "prometheus"}:
        assert COMPOSE["services"][name]["network_mode"] == "service:superlink"
    containerfile = (DEPLOY / "container" / "Containerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (.+) \S+$", containerfile, flags=re.MULTILINE):
        for path in line.split():
            assert (ROOT / path).exists(), path
    torch = re.search(r"torch==[\w.+]+", (ROOT / "Makefile").read_text(encoding="utf-8"))[0]
    assert f"'{torch}'" in containerfile
