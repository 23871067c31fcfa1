"""What a build will take is foreseen, and a machine without it refuses before anything is written."""

import dataclasses
import json

import pytest

from central.releases.packaging.checkpoint import checkpoint_cached
from central.releases.packaging.checkpoint_folder import FolderCheckpoint
from central.releases.packaging.checkpoint_gguf import GgufCheckpoint
from central.releases.packaging.errors import BuildMemoryShort
from central.releases.packaging.needs import disk_needs, memory_needs, package_bytes, size_read
from central.releases.packaging.reference import LARGEST_WHOLE
from central.releases.packaging.room import memory_available_bytes, room_check
from central.releases.packaging.stored_floats import StoredFloats
from central.releases.recipe import Recipe
from federation.trust.errors import DiskFull
from tests.benchmarks.random_gemma import SHAPES
from tests.tiny_checkpoint import tiny_checkpoint, tiny_gguf, tiny_prepared

GB = 10**9
INT8 = Recipe()


def size_of(name):
    return size_read(SHAPES[name].settings())


def most(name, recipe=INT8, *, is_tuned=False):
    needs = memory_needs(size_of(name), recipe=recipe, is_tuned=is_tuned, largest_whole=LARGEST_WHOLE)
    return max(needs.values())


def check(size, tmp_path, *, available=24 * GB, free=10**15, prepared=0, recipe=INT8):
    room_check(
        size,
        prepared_bytes=prepared,
        recipe=recipe,
        is_tuned=False,
        work=tmp_path / "work",
        into=tmp_path / "out",
        available_bytes=available,
        disk_free=lambda folder: free,
    )


def test_the_sizes_of_a_model_count_its_weights(tmp_path):
    for name in SHAPES:
        # Norms are not counted.
        assert size_of(name).weights == pytest.approx(SHAPES[name].weights, rel=1e-3)
    folder = FolderCheckpoint(tiny_checkpoint(tmp_path / "source"))
    assert folder.size() == GgufCheckpoint(tiny_gguf(tmp_path / "tiny.gguf")).size()
    prepared = tiny_prepared(tmp_path / "prepared")
    config = json.loads((prepared.folder / "config.json").read_text())
    assert size_read(config) == folder.size()
    assert folder.size().weights == pytest.approx(StoredFloats(prepared.folder).weights, rel=0.01)
    written = sum(path.stat().st_size for path in prepared.folder.glob("*.safetensors"))
    assert written <= folder.prepared_bytes()


def test_int8_of_4b_has_room_on_a_machine_of_24_gb_and_mixed_bits_have_not():
    assert most("4b") < 10 * GB
    assert most("4b", Recipe(quantisation="mixed")) > 24 * GB
    assert most("4b", is_tuned=True) > 24 * GB
    assert most("270m", is_tuned=True) < 8 * GB


def test_a_machine_with_too_little_memory_is_told_the_step_and_the_bytes(tmp_path):
    check(size_of("4b"), tmp_path, available=most("4b"))
    with pytest.raises(BuildMemoryShort) as refusal:
        check(size_of("4b"), tmp_path, available=most("4b") - 1)
    assert refusal.value.fields == {"step": "quantise", "needed_bytes": most("4b"), "available_bytes": most("4b") - 1}


def test_a_disk_with_too_little_room_is_refused(tmp_path):
    size = size_of("4b")
    needed = sum(disk_needs(size, prepared_bytes=8 * GB, recipe=INT8, is_tuned=False))
    assert needed > 8 * GB + 3 * package_bytes(size, INT8)
    check(size, tmp_path, prepared=8 * GB, free=needed)
    with pytest.raises(DiskFull) as refusal:
        check(size, tmp_path, prepared=8 * GB, free=needed - 1)
    assert refusal.value.fields == {"needed_bytes": needed, "free_bytes": needed - 1}


def test_a_refused_checkpoint_has_left_nothing_and_a_prepared_one_is_asked_about_with_nothing_to_write(tmp_path):
    source, work, asked = tiny_checkpoint(tmp_path / "source"), tmp_path / "work", []

    def refuse(size, prepared_bytes):
        asked.append((size, prepared_bytes))
        raise BuildMemoryShort(step="measure", needed_bytes=2, available_bytes=1)

    def cached(admit):
        return checkpoint_cached(source=source, work=work, progress=lambda step, part: None, admit=admit)

    with pytest.raises(BuildMemoryShort):
        cached(refuse)
    assert list(work.iterdir()) == []
    cached(lambda size, prepared_bytes: None)
    with pytest.raises(BuildMemoryShort):
        cached(refuse)
    (first, to_write), (second, nothing) = asked
    assert first == second
    assert (to_write > 0, nothing) == (True, 0)


def test_what_the_kernel_calls_available_is_read_in_bytes(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    3000 kB\n")
    assert memory_available_bytes(proc=tmp_path) == 3000 * 1024
    assert memory_available_bytes() > 0


def test_larger_models_need_more_of_everything():
    names = list(SHAPES)
    for recipe in (INT8, Recipe(quantisation="mixed"), dataclasses.replace(INT8, languages=())):
        figures = [most(name, recipe) for name in names if SHAPES[name].weights > LARGEST_WHOLE]
        assert figures == sorted(figures)
