"""The parts of `make bench-build`: a random checkpoint in a published shape, and a process tree's memory."""

import json
import os
import subprocess
import sys
import threading

import pytest
import torch
from safetensors import safe_open

from central.releases.packaging.checkpoint import checkpoint_prepare
from tests.benchmarks.process_tree import Watch, tree_memory
from tests.benchmarks.random_gemma import SHAPES, Shape, random_gemma
from tests.tiny_checkpoint import tiny_checkpoint, tiny_tokenizer

BILLIONS = {"270m": 0.268, "1b": 1.0, "4b": 3.88, "12b": 11.77, "27b": 27.01}
HOLDER = "held = b'x' * 300_000_000; print('held', flush=True); input()"


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_as_many_weights_as_the_published_text_model(name):
    assert SHAPES[name].weights / 1e9 == pytest.approx(BILLIONS[name], rel=2e-3)


@pytest.mark.parametrize("is_multimodal", [False, True])
def test_a_random_checkpoint_is_prepared_like_any_other(tmp_path, is_multimodal):
    rows = 262_208 if is_multimodal else tiny_tokenizer().get_vocab_size()
    shape = Shape(hidden=16, intermediate=32, layers=2, heads=2, kv_heads=1, head_size=16, window=8, rows=rows)
    told = []
    beside = tiny_checkpoint(tmp_path / "tiny")
    source = random_gemma(shape, tokenizer=beside, into=tmp_path / "random", progress=told.append)
    assert told[-1] == 1.0
    assert ("text_config" in json.loads((source / "config.json").read_text())) == is_multimodal
    made = checkpoint_prepare(source=source, into=tmp_path / "made", progress=lambda step, part: None)
    config = json.loads((made.folder / "config.json").read_text())
    assert (config["model_type"], config["vocab_size"]) == ("gemma3_text", rows)
    assert bool(config.get("rope_scaling")) == is_multimodal
    with safe_open(made.folder / "model.safetensors", framework="pt") as file:
        assert sum(file.get_tensor(name).numel() for name in file.keys()) == shape.weights  # noqa: SIM118
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_the_memory_of_child_processes_counts_and_is_kept_by_stage():
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDER!r}])"
    process = subprocess.Popen([sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process, Watch(process.pid, floor_bytes=0, starved=process.kill) as watch:
        watch.stage("holding")
        assert process.stdout.readline() == "held\n"
        assert tree_memory(process.pid).anonymous > 300_000_000
        while "holding" not in watch.peaks or watch.peaks["holding"].anonymous < 300_000_000:
            assert process.poll() is None
        process.communicate("\n")
    assert watch.peaks["holding"].resident >= watch.peaks["holding"].anonymous
    assert tree_memory(process.pid).resident == 0


def test_a_watch_tells_once_when_the_machine_runs_short():
    told = threading.Semaphore(0)
    with Watch(os.getpid(), floor_bytes=10**18, starved=told.release):
        assert told.acquire(timeout=10)
    assert not told.acquire(blocking=False)
