"""The node's processes: a taken port, a child that dies, an orphan, the queue before the engine, the imports."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.utils import timezone

from federation.trust.errors import LinkLost
from node.children import child_environment
from node.root import engine_socket_path, root_find, secret_read
from node.sync.backoff import wait_seconds
from node.sync.errors import CentreBusy, CentreUnreachable
from node.sync.loop import contacts_hold
from node.sync.services import ContactReport, ContactTimes

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
HEAVY = ("torch", "transformers", "peft", "flwr", "celery", "rest_framework", "central")


def manage(root, *arguments, **options):
    environment = child_environment(root) | {"LANG": "en_US.UTF-8", "LC_ALL": ""}
    return subprocess.run(
        [sys.executable, MANAGE, "node", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


@pytest.mark.slow
def test_a_node_process_imports_nothing_that_a_lean_school_lacks(tmp_path):
    program = (
        "import django, pkgutil, importlib, sys, node; django.setup()\n"
        "for found in pkgutil.walk_packages(node.__path__, 'node.'):\n"
        "    importlib.import_module(found.name)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = child_environment(tmp_path)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_port_in_use_ends_in_one_sentence_and_leaves_no_database(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = manage(tmp_path, "run", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.strip() == f"Port {port} on 127.0.0.1 is in use or not allowed; choose another with --port."
    assert not (tmp_path / "node.sqlite3").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["ask", "--question", "x"], "The engine is not running; start it with “node run”."),
        (["score", "--question", "x", "--answer", "y"], "The engine is not running; start it with “node run”."),
        (["sync", "--once"], "This PC is not enrolled yet: run “node enrol” with the claim code of the school."),
        (["train"], "This PC is not enrolled yet: run “node enrol” with the claim code of the school."),
        (
            ["enrol", "--central", "http://127.0.0.1:9", "--code", "x", "--root-sha256", "0"],
            "The centre at http://127.0.0.1:9 does not answer; check the address and the link.",
        ),
    ],
)
def test_a_command_that_cannot_do_its_work_ends_with_one_sentence(tmp_path, arguments, sentence):
    done = manage(tmp_path, *arguments)
    assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, sentence)


@pytest.mark.slow
def test_a_dead_child_comes_back_and_a_node_that_ends_leaves_none_behind(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = subprocess.Popen(
        [sys.executable, MANAGE, "node", "run", "--port", str(port), "--root", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    run_file = tmp_path / "run.json"
    try:
        await_true(run_file.exists)
        first = json.loads(run_file.read_text())["children"]
        assert set(first) == {"page", "engine", "sync"}
        await_true(lambda: answers(port))
        await_true(engine_socket_path(tmp_path).exists)
        os.kill(first["engine"], signal.SIGKILL)
        await_true(
            lambda: json.loads(run_file.read_text())["children"].get("engine", first["engine"]) != first["engine"]
        )
        children = json.loads(run_file.read_text())["children"]
        assert children["page"] == first["page"]
        node.send_signal(signal.SIGTERM)
        assert node.wait(timeout=30) == 0
    finally:
        node.kill()
        node.wait()
    assert not run_file.exists()
    assert not any(is_alive(pid) for pid in children.values())


@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_orphans(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node = subprocess.Popen(
        [sys.executable, MANAGE, "node", "run", "--port", str(port), "--root", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await_true(lambda: answers(port))
        await_true(engine_socket_path(tmp_path).exists)
        children = json.loads((tmp_path / "run.json").read_text())["children"]
    finally:
        node.kill()
        node.wait()
    await_true(lambda: not any(is_alive(pid) for pid in children.values()))


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_true(is_true, seconds=40):
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.05)


def test_the_pause_grows_with_failures_up_to_a_limit_and_differs_between_schools():
    pauses = [wait_seconds(failures=n, asked_seconds=0, rng=random.Random(1)) for n in range(1, 12)]
    assert pauses[:8] == sorted(pauses[:8])
    assert max(pauses) <= 1200
    assert len({wait_seconds(failures=3, asked_seconds=0, rng=random.Random(n)) for n in range(20)}) == 20


@pytest.mark.parametrize("failures", [0, 1, 5])
def test_a_node_comes_back_no_sooner_than_it_was_asked_and_no_two_together(failures):
    pauses = {
        wait_seconds(failures=failures, asked_seconds=300, spread_seconds=100, rng=random.Random(n)) for n in range(20)
    }
    assert len(pauses) == 20
    assert 300 <= min(pauses) < max(pauses) <= 400


class Pauses:
    """Stands where the loop waits, and ends it after `count` pauses."""

    def __init__(self, count):
        self.count, self.seconds = count, []

    def is_set(self):
        return len(self.seconds) == self.count

    def wait(self, seconds):
        self.seconds.append(seconds)


def cut_short(**_options):
    failures = {"install": LinkLost(sha256="ab", problem="ReadError")}
    return ContactReport(next_seconds=300, spread_seconds=0, failures=failures, bytes_up=1, bytes_down=1)


def unreachable(**_options):
    raise CentreUnreachable(url="http://x", problem="ConnectError")


def busy(**_options):
    raise CentreBusy(status=503, reason="", retry_after_seconds=0)


def overrun(**_options):
    raise CentreBusy(status=429, reason="throttled", retry_after_seconds=600)


@pytest.mark.parametrize(("contact", "longest"), [(unreachable, 27), (cut_short, 27), (busy, 1200)])
@pytest.mark.django_db
def test_a_link_is_looked_for_every_few_seconds_and_a_busy_centre_left_alone(tmp_path, monkeypatch, contact, longest):
    monkeypatch.setattr("node.sync.loop.contact_once", contact)
    pauses = Pauses(12)
    contacts_hold(root=tmp_path, clock=timezone.now, rng=random.Random(1), stopping=pauses, times=ContactTimes())
    assert pauses.seconds[0] < 7
    assert longest / 2 < max(pauses.seconds) <= longest


@pytest.mark.django_db
def test_a_centre_that_says_when_to_come_back_is_not_asked_before(tmp_path, monkeypatch):
    monkeypatch.setattr("node.sync.loop.contact_once", overrun)
    pauses = Pauses(4)
    contacts_hold(root=tmp_path, clock=timezone.now, rng=random.Random(1), stopping=pauses, times=ContactTimes())
    assert min(pauses.seconds) >= 600


def test_the_root_is_the_one_that_was_named(tmp_path):
    assert root_find(argv=["x", "--root", "/a"], environ={"SORO_NODE_ROOT": "/b"}) == Path("/a")
    assert root_find(argv=["x", "--root=/a"], environ={}) == Path("/a")
    assert root_find(argv=["x"], environ={"SORO_NODE_ROOT": "/b"}) == Path("/b")
    assert root_find(argv=["x"], environ={}) == Path("var/node").absolute()


def test_a_socket_path_is_never_longer_than_the_kernel_takes(tmp_path):
    assert len(os.fsencode(engine_socket_path(tmp_path / ("ҷ" * 100)))) < 108


def test_a_secret_stays_the_same_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "keys" / "secret"
    assert secret_read(path) == secret_read(path)
    assert path.stat().st_mode & 0o077 == 0
