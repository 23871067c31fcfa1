"""The whole journey with real processes, on another question than the demo's own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = 23400
JOURNEY_SECONDS = 1500


@pytest.fixture(scope="module")
def pair():
    """A pair that neither the demo, nor the anchors, nor the unrelated prompts hold."""
    lines = (ROOT / "tests" / "journey" / "correction.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(lines[0])


@pytest.fixture(scope="module")
def journey(tmp_path_factory, pair):
    root = tmp_path_factory.mktemp("journey") / "demo"
    ended = _demo(root, PORT_BASE, "--question", pair["question"], "--correction", pair["correction"])
    return root, ended


@pytest.mark.slow
def test_the_journey_shows_all_that_it_must(journey, pair):
    root, ended = journey

    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    summary = json.loads((root / "summary.json").read_text(encoding="utf-8"))
    assert summary["ok"] is True
    first = summary["corrections"][0]
    assert (first["question"], first["correction"]) == (pair["question"], pair["correction"])
    assert first["after"]["logprob_per_token"] - first["before"]["logprob_per_token"] >= 1.0
    assert len(summary["unrelated"]) >= 10
    assert summary["bytes"]["release2_per_node"] <= 2_000_000


@pytest.mark.slow
def test_the_journey_leaves_nothing_running(journey):
    root, _ended = journey

    assert _left_running(root) == []


@pytest.mark.slow
def test_a_journey_whose_port_is_in_use_ends_with_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", PORT_BASE + 300))
        taken.listen()

        ended = _demo(tmp_path / "demo", PORT_BASE + 300)

    assert ended.returncode == 1
    assert ended.stderr.strip().count("\n") == 0
    assert f"port {PORT_BASE + 300} is in use" in ended.stderr
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_an_interrupted_journey_ends_what_it_started(tmp_path):
    root = tmp_path / "demo"
    command = _command(root, PORT_BASE + 400)
    with subprocess.Popen(
        command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        while not (root / "central" / "run.json").exists():
            assert child.poll() is None
            time.sleep(0.2)
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)

    assert child.returncode == 130
    assert _left_running(root) == []


def _demo(root, port_base, *arguments):
    return subprocess.run(
        _command(root, port_base, *arguments),
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=JOURNEY_SECONDS,
        check=False,
    )


def _command(root, port_base, *arguments):
    return [sys.executable, "manage.py", "demo", "--root", str(root), "--port-base", str(port_base), *arguments]


def _environment():
    """Return the environment without what the test run's own settings put there for this process."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("SORO_", "DJANGO_"))}


def _left_running(root):
    return [path.name for path in Path("/proc").iterdir() if path.name.isdecimal() and str(root) in _words_of(path)]


def _words_of(process):
    try:
        return b"".join((process / name).read_bytes() for name in ("cmdline", "environ")).decode(errors="replace")
    except OSError:
        return ""
