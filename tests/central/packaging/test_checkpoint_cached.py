"""A checkpoint is prepared once for the same bytes."""

import json

import pytest

from central.releases.packaging.checkpoint import checkpoint_cached
from central.releases.packaging.errors import CheckpointIncomplete
from tests.tiny_checkpoint import tiny_checkpoint, tiny_gguf


def cached(source, work, told=None):
    told = [] if told is None else told
    return checkpoint_cached(source=source, work=work, progress=lambda step, part: told.append((step, part)))


def made_at(checkpoint):
    return {path.name: path.stat().st_mtime_ns for path in checkpoint.folder.iterdir()}


@pytest.mark.parametrize(
    "make", [lambda path: tiny_checkpoint(path / "source"), lambda path: tiny_gguf(path / "t.gguf")]
)
def test_the_same_bytes_are_prepared_once(tmp_path, make):
    source, work, told = make(tmp_path), tmp_path / "work", []
    first = cached(source, work)
    before = made_at(first)
    assert cached(source, work, told) == first
    assert made_at(first) == before
    assert told == [("checkpoint", 0.0), ("checkpoint", 1.0)]


def test_other_bytes_or_another_name_are_prepared_beside_the_first(tmp_path):
    work = tmp_path / "work"
    first = cached(tiny_checkpoint(tmp_path / "one"), work)
    second = cached(tiny_checkpoint(tmp_path / "one", seed=6), work)
    (tmp_path / "one").rename(tmp_path / "two")
    third = cached(tmp_path / "two", work)
    assert len({first.folder, second.folder, third.folder}) == 3
    assert (first.name, third.name) == ("one", "two")
    assert second.digest == third.digest != first.digest


def test_a_folder_that_was_not_finished_is_prepared_anew(tmp_path):
    source, work = tiny_checkpoint(tmp_path / "source"), tmp_path / "work"
    first = cached(source, work)
    weights = first.folder / "model.safetensors"
    whole = weights.read_bytes()
    (first.folder.parent / ".finished").unlink()
    weights.write_bytes(whole[:100])
    assert cached(source, work) == first
    assert weights.read_bytes() == whole


def test_a_refused_source_leaves_nothing_in_the_work_folder(tmp_path):
    source, work = tiny_checkpoint(tmp_path / "source"), tmp_path / "work"
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(CheckpointIncomplete):
        cached(source, work)
    assert list(work.iterdir()) == []
