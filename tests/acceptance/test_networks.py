"""The networks of the acceptance run come, keep schools apart and go; what runs in them ends with the run."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.acceptance.kernel import KernelRefused
from tests.acceptance.networks import CENTRE_ADDRESS, centre_network_open, link_lay, network_open
from tests.real_superlink import pids_with
from tests.services import service_missing

TREE = Path(__file__).resolve().parents[2]
PORT = 80
ALONE = """
import subprocess, sys, time
from pathlib import Path
from tests.acceptance.kernel import run_alone
mark, ready = sys.argv[1:]
run_alone({"centre.example": "10.77.0.1"})
# It leaves the group, as programs of the run do, and nobody waits for it.
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", mark], start_new_session=True)
Path(ready).write_text(Path("/etc/hosts").read_text())
time.sleep(600)
"""


@pytest.fixture
def country():
    """Networks of a centre, of a school with a line and of one without, and the line."""
    try:
        with centre_network_open() as centre, network_open() as linked, network_open() as dark:
            yield centre, linked, dark, link_lay(centre, linked)
    except KernelRefused as refusal:
        service_missing("the kernel", refusal)


def reaches(network):
    with network.entered():
        try:
            socket.create_connection((CENTRE_ADDRESS, PORT), timeout=30).close()
        except OSError:
            return False
    return True


def test_a_school_reaches_the_centre_only_while_its_line_is_up(country):
    centre, linked, _dark, link = country
    with centre.entered():
        server = socket.create_server(("0.0.0.0", PORT))  # noqa: S104 - in a network of the test's own
    with server:
        assert not reaches(linked)
        for _ in range(2):
            link.up()
            assert reaches(linked)
            link.down()
            assert not reaches(linked)


def test_a_school_without_a_line_has_its_loopback_and_reaches_nobody(country):
    centre, _linked, dark, link = country
    with centre.entered():
        server = socket.create_server(("0.0.0.0", PORT))  # noqa: S104 - in a network of the test's own
    with server:
        link.up()
        assert not reaches(dark)
    assert dark.interfaces == {"lo"}
    with dark.entered(), socket.create_server(("127.0.0.1", PORT)):
        socket.create_connection(("127.0.0.1", PORT), timeout=30).close()


def test_what_crosses_a_line_is_counted_there(country):
    centre, linked, _dark, link = country
    link.up()
    before = link.bytes_total
    with centre.entered():
        server = socket.create_server(("0.0.0.0", PORT))  # noqa: S104 - in a network of the test's own
    with server, linked.entered(), socket.create_connection((CENTRE_ADDRESS, PORT), timeout=30) as called:
        called.sendall(bytes(100_000))
        accepted, _ = server.accept()
        with accepted:
            received = 0
            while received < 100_000:
                received += len(accepted.recv(100_000))
    assert link.bytes_total - before >= 100_000


def test_nothing_of_a_network_is_seen_outside_or_left_when_it_is_gone():
    before = {name for _, name in socket.if_nameindex()}
    try:
        with centre_network_open() as centre, network_open() as school:
            link_lay(centre, school)
            assert {name for _, name in socket.if_nameindex()} == before
    except KernelRefused as refusal:
        service_missing("the kernel", refusal)
    assert {name for _, name in socket.if_nameindex()} == before
    for network in (centre, school):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(network.handle)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_of_a_run_outlives_it_however_it_ends(sign, tmp_path):
    ready, mark = tmp_path / "hosts", str(tmp_path / "mark")
    environment = {**os.environ, "PYTHONPATH": str(TREE)}
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, mark, str(ready)], env=environment, stderr=subprocess.PIPE, text=True
    ) as run:
        while not (ready.exists() and ready.read_text()):
            if run.poll() is not None:
                service_missing("the kernel", run.stderr.read())
            time.sleep(0.05)
        assert len(pids_with(mark)) > 1
        run.send_signal(sign)
        assert run.wait(timeout=120) != 0
    until = time.monotonic() + 120
    while pids_with(mark):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "10.77.0.1 centre.example" in ready.read_text()
    assert "centre.example" not in Path("/etc/hosts").read_text()


def test_a_run_ends_with_its_own_status():
    code = "import sys; from tests.acceptance.kernel import run_alone; run_alone({}); print('alone'); sys.exit(7)"
    ended = subprocess.run([sys.executable, "-c", code], cwd=TREE, capture_output=True, text=True, check=False)
    if "KernelRefused" in ended.stderr:
        service_missing("the kernel", ended.stderr)
    assert (ended.returncode, ended.stdout) == (7, "alone\n")
