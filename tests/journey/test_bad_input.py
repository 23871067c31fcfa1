"""Bad input at the command line: one clear sentence, a non-zero status, and nothing half-installed."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from federation.demo.commands import MANAGE
from federation.demo.errors import StepFailed
from tests.stations import centre_run
from tests.tiny_checkpoint import tiny_checkpoint

pytestmark = pytest.mark.slow
STEP = "bad input"
SMALL_DISK = "300k"


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    with centre_run(tmp_path_factory.mktemp("central")) as (commands, address):
        yield commands, address


@pytest.fixture(scope="module")
def release(centre, tmp_path_factory):
    """A signed base release of the tiny checkpoint, offered to every school; returns its largest blob."""
    commands, _address = centre
    checkpoint = tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint", context_tokens=512)
    asked = ("--title", "tiny", "--checkpoint", str(checkpoint), "--chat-tuning", "no")
    built = commands.run_json(STEP, "release_build", *asked)
    assert built["status"] == "awaiting_signature", built["why"]
    commands.run_json(STEP, "release_sign", "--release", built["digest"])
    wave = ("--wave", "all=100%", "--creator", "a", "--soak-seconds", "0", "--failures-allowed", "9")
    rollout = commands.run_json(STEP, "rollout_create", "--release", built["digest"], *wave)
    commands.run_json(STEP, "rollout_approve", "--rollout", rollout["id"], "--approver", "b")
    _await_open_wave(commands, rollout["id"])
    blobs = [path for path in (commands.root / "blobs").rglob("*") if path.is_file()]
    return max(blobs, key=lambda path: path.stat().st_size)


def _await_open_wave(commands, rollout):
    for _ in range(20):
        told = commands.run_json(STEP, "rollout_show", "--rollout", rollout)
        if told["waves"][0]["status"] != "pending":
            return
        time.sleep(0.5)
    pytest.fail(f"no wave opened: {told}")


def _node(root, *arguments):
    environment = {**os.environ, "SORO_NODE_ROOT": str(root), "LANG": "en_US.UTF-8"}
    command = [sys.executable, str(MANAGE), "node", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def _enrol(root, centre, name):
    commands, address = centre
    invitation = commands.run_json(STEP, "school_invite", "--name", name)
    claim = ("--code", invitation["code"], "--root-sha256", invitation["root_sha256"])
    return _node(root, "enrol", "--central", address, *claim), claim


def _assert_one_sentence(ended):
    assert ended.returncode == 1
    sentences = [line for line in ended.stderr.strip().splitlines() if " WARNING " not in line]
    assert len(sentences) == 1, ended.stderr


def test_a_checkpoint_of_another_architecture_is_refused_by_name(centre, tmp_path):
    commands, _address = centre
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))

    with pytest.raises(StepFailed) as refused:
        commands.run(STEP, "release_build", "--title", "x", "--checkpoint", str(tmp_path))

    assert "llama" in refused.value.fields["reason"].lower()
    assert not list((commands.root / "builds").glob("base-*"))


def test_a_wrong_claim_code_enrols_nobody(centre, tmp_path):
    commands, address = centre
    invitation = commands.run_json(STEP, "school_invite", "--name", "wrong code")

    ended = _node(
        tmp_path, "enrol", "--central", address, "--code", "00000-00000", "--root-sha256", invitation["root_sha256"]
    )

    _assert_one_sentence(ended)
    assert not (tmp_path / "node.json").exists()


def test_a_claim_code_that_was_used_enrols_no_second_pc(centre, tmp_path):
    _commands, address = centre
    first, claim = _enrol(tmp_path / "first", centre, "used code")
    assert first.returncode == 0, first.stderr

    second = _node(tmp_path / "second", "enrol", "--central", address, *claim)

    _assert_one_sentence(second)
    assert not (tmp_path / "second" / "node.json").exists()


def test_a_tampered_byte_in_a_release_installs_nothing(centre, release, tmp_path):
    root = tmp_path / "node"
    enrolled, _claim = _enrol(root, centre, "tampered")
    assert enrolled.returncode == 0, enrolled.stderr
    kept = shutil.copy2(release, tmp_path / "kept")
    content = bytearray(release.read_bytes())
    content[len(content) // 2] ^= 1
    release.chmod(0o644)
    release.write_bytes(content)

    try:
        ended = _node(root, "sync", "--once")
    finally:
        shutil.copy2(kept, release)

    _assert_one_sentence(ended)
    assert "altered" in ended.stderr
    assert not list((root / "releases").glob("*"))
    assert not (root / "state.json").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_installs_nothing_and_names_the_bytes(centre, release, tmp_path):
    root = tmp_path / "node"
    enrolled, _claim = _enrol(root, centre, "full disk")
    assert enrolled.returncode == 0, enrolled.stderr
    downloads = root / "downloads"
    downloads.mkdir(exist_ok=True)
    (root / "releases").mkdir(exist_ok=True)
    for folder in (downloads, root / "releases"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "small", str(folder)], check=True)

    try:
        ended = _node(root, "sync", "--once")
        left = list((root / "releases").glob("*"))
    finally:
        for folder in (downloads, root / "releases"):
            subprocess.run(["umount", str(folder)], check=True)

    _assert_one_sentence(ended)
    assert "disk is full" in ended.stderr
    assert left == []


def test_a_port_in_use_starts_nothing(tmp_path):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        taken = str(listening.getsockname()[1])

        ended = _node(tmp_path / "node", "run", "--port", taken)

    _assert_one_sentence(ended)
    assert taken in ended.stderr
    assert not (tmp_path / "node" / "node.sqlite3").exists()
