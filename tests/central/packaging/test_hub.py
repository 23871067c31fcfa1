"""A checkpoint is fetched by its id where a hub answers, and refused with the hub's address where none does."""

import json
import os
import subprocess
import sys
import time

import pytest
from safetensors.numpy import load_file

from central.releases.packaging.checkpoint_folder import FolderCheckpoint
from central.releases.packaging.errors import CheckpointMissing
from central.releases.packaging.hub import hub_fetch, is_hub_id
from tests.central.packaging.hub_simulator import hub_running
from tests.tiny_checkpoint import tiny_checkpoint

CLOSED = "http://127.0.0.1:9"
PREPARE = """
import json, sys
from pathlib import Path
from central.releases.packaging.checkpoint import checkpoint_prepare
from federation.errors import FederationError
try:
    made = checkpoint_prepare(source=Path(sys.argv[1]), into=Path(sys.argv[2]), progress=lambda step, part: None)
    print(json.dumps({"name": made.name, "digest": made.digest}))
except FederationError as error:
    print(json.dumps({"code": error.code, **error.fields}))
"""


def prepared_by_id(repository, into, endpoint):
    """Prepare `repository` in a process of its own, because the hub's address is read once, from the environment."""
    command = [sys.executable, "-c", PREPARE, repository, str(into)]
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_checkpoint_is_prepared_by_its_id(tmp_path):
    source = tiny_checkpoint(tmp_path / "source")
    with hub_running(source, "ministry/soro-tiny") as hub:
        made = prepared_by_id("ministry/soro-tiny", tmp_path / "checkpoint", hub.endpoint)
    assert made == {"name": "soro-tiny", "digest": FolderCheckpoint(source).digest()}
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "checkpoint"))
    assert ours.keys() == theirs.keys()


@pytest.mark.slow
def test_a_hub_that_does_not_answer_is_named_and_nothing_is_left(tmp_path):
    refused = prepared_by_id("ministry/soro-tiny", tmp_path / "out" / "checkpoint", CLOSED)
    assert refused == {"code": "checkpoint_missing", "source": f"{CLOSED}/ministry/soro-tiny"}
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_only_the_files_that_a_checkpoint_needs_are_fetched_and_only_once(tmp_path):
    source = tiny_checkpoint(tmp_path / "source")
    for name in ("README.md", "pytorch_model.bin", "original/consolidated.safetensors"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("not needed")
    with hub_running(source, "ministry/soro-tiny") as hub:
        for _ in range(2):
            folder = hub_fetch("ministry/soro-tiny", cache=tmp_path / "cache", endpoint=hub.endpoint)
        wanted = {
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        }
        assert {path.name for path in folder.iterdir()} == wanted
        assert sorted(hub.fetched) == sorted(wanted)
    # The hub is gone now, and what it gave is still there.
    assert hub_fetch("ministry/soro-tiny", cache=tmp_path / "cache", endpoint=hub.endpoint) == folder


def test_a_repository_that_the_hub_does_not_have_is_refused(tmp_path):
    with hub_running(tiny_checkpoint(tmp_path / "source"), "ministry/soro-tiny") as hub:
        with pytest.raises(CheckpointMissing) as caught:
            hub_fetch("ministry/other", cache=tmp_path / "cache", endpoint=hub.endpoint)
        assert caught.value.fields["source"] == f"{hub.endpoint}/ministry/other"
    assert hub.fetched == []


def test_a_hub_that_does_not_answer_is_given_up_at_once(tmp_path):
    started = time.monotonic()
    with pytest.raises(CheckpointMissing):
        hub_fetch("ministry/soro-tiny", cache=tmp_path / "cache", endpoint=CLOSED)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("words", "is_id"),
    [
        ("google/gemma-3-1b-it", True),
        ("ministry/soro_27B.int4", True),
        ("soro.gguf", False),
        ("../soro/model", False),
        ("/data/soro", False),
        ("a/b/c", False),
        ("-x/y", False),
    ],
)
def test_an_id_is_an_owner_and_a_name(words, is_id):
    assert is_hub_id(words) is is_id
