"""The embedded centre: one command, all of it or nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from central.disk import CentreDisk
from central.secret_key import secret_key_keep
from central.supervisor import WEB_PROCESSES_AT_MOST, CentrePlan, web_command, web_specs
from tests.stations import free_port

MANAGE = Path(__file__).parents[2] / "manage.py"


def _environment(root):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}
    return {**kept, "SORO_CENTRAL_ROOT": str(root)}


def _wait(is_true, seconds=60):
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.parametrize(("named", "started"), [(7, {7}), (0, set(range(1, WEB_PROCESSES_AT_MOST + 1)))])
def test_as_many_web_processes_start_as_are_named_or_as_there_are_cores(settings, tmp_path, named, started):
    settings.IS_SQLITE, settings.WEB_PROCESSES = False, named
    words = web_command(CentrePlan(root=tmp_path, host="127.0.0.1", port=1, fleet_port=2))

    assert int(words[words.index("--workers") + 1]) in started


def test_the_web_servers_threads_share_one_heap_and_a_workers_builds_have_their_own(tmp_path):
    plan = CentrePlan(root=tmp_path, host="127.0.0.1", port=1, fleet_port=2)
    env_by_part = {spec.name: spec.env for spec in web_specs(plan, CentreDisk(tmp_path), has_flower=False)}
    assert env_by_part["web"]["MALLOC_ARENA_MAX"] == "1"
    assert "MALLOC_ARENA_MAX" not in env_by_part["worker"]


def test_a_taken_port_ends_in_one_sentence_and_nothing_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, str(MANAGE), "central", "run", "--port", str(port)],
            env=_environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith(f"Port {port} is taken by another program; end that program or choose another with --port.")
    )
    assert not (tmp_path / "central.sqlite3").exists()
    assert not (tmp_path / "run.json").exists()


@pytest.mark.slow
def test_one_command_starts_all_a_dead_worker_comes_back_and_sigterm_ends_all(tmp_path):
    port, fleet_port = free_port(), free_port()
    queue = tmp_path / "broker" / "queue"
    queue.mkdir(parents=True)
    (queue / "1_cut.celery.msg").write_bytes(b'{"body": "cut')
    centre = subprocess.Popen(
        [sys.executable, str(MANAGE), "central", "run", "--port", str(port), "--fleet-port", str(fleet_port)],
        env=_environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state_path, log = tmp_path / "run.json", tmp_path / "logs" / "worker.log"
    try:
        _wait(lambda: _answers(f"http://127.0.0.1:{port}/healthz"))
        _wait(lambda: log.exists() and "round_tick" in log.read_text())
        first = json.loads(state_path.read_text())["children"]
        os.kill(first["worker"], signal.SIGKILL)
        _wait(lambda: json.loads(state_path.read_text())["children"].get("worker") not in (None, first["worker"]))
    finally:
        last = json.loads(state_path.read_text())["children"] if state_path.exists() else {}
        centre.send_signal(signal.SIGTERM)
        assert centre.wait(timeout=60) == 0
    assert not state_path.exists()
    assert not [pid for pid in last.values() if Path(f"/proc/{pid}").exists()]


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "secret_key"
    first = secret_key_keep(path)
    assert secret_key_keep(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
