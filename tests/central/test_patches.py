"""What the centre keeps to make a new base out of the one before it."""

import numpy as np
import onnx
import pytest
from onnx import helper

from central.releases.packaging.graph_weights import WeightFile
from central.releases.patches import patches_write
from central.releases.tensor_places import tensors_place
from federation.trust.chunk_store import ChunkMap
from federation.trust.patches import patch_apply
from federation.trust.release_bytes import index_build
from federation.wire.releases import ReleaseKind

RNG = np.random.default_rng(4)


@pytest.fixture
def tensors():
    return {
        name: RNG.integers(0, 256, size, dtype=np.uint8) for name, size in (("a", 300_000), ("b", 70_000), ("c", 9_000))
    }


def package(folder, tensors):
    folder.mkdir()
    with WeightFile(folder / "model.onnx.data") as file:
        initializers = [file.put(name, values) for name, values in tensors.items()]
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], initializer=initializers)), folder / "model.onnx")
    index = index_build(
        package=folder,
        kind=ReleaseKind.BASE,
        version=1,
        title="t",
        base=None,
        contributions=(),
        tensors=tensors_place(folder),
    )
    return {"folder": folder, "index": index}


def made_of(old, new, tmp_path):
    return patches_write(
        folders={"": new["folder"]},
        index=new["index"],
        old_folders={"": old["folder"]},
        old_index=old["index"],
        into=tmp_path / "patches",
    )


def moved_a_little(values):
    return values + RNG.integers(0, 2, values.size, dtype=np.uint8)


def chunk(made, place):
    chunks = ChunkMap("", made["index"].files)
    content = (made["folder"] / made["index"].files[place.file].path).read_bytes()
    return content[chunks.start(place) : chunks.start(place) + chunks.size_bytes(place)]


def test_a_tensor_that_moved_a_little_is_patched_wherever_it_lies_now(tensors, tmp_path):
    old = package(tmp_path / "old", tensors)
    new = package(tmp_path / "new", {"c": tensors["c"], "a": moved_a_little(tensors["a"]), "b": tensors["b"]})
    made = made_of(old, new, tmp_path)
    blob = (tmp_path / "patches").read_bytes()
    chunks, old_chunks = ChunkMap("", new["index"].files), ChunkMap("", old["index"].files)
    assert len(made.chunks) == 2
    assert sum(made.sizes) == len(blob) < 0.2 * 300_000
    for number, of, size in zip(made.chunks, made.of, made.sizes, strict=True):
        patch, blob = blob[:size], blob[size:]
        assert patch_apply(chunk(old, old_chunks.places[of]), patch) == chunk(new, chunks.places[number])


def test_what_is_new_or_the_same_or_longer_or_not_worth_it_has_no_patch(tensors, tmp_path):
    old = package(tmp_path / "old", tensors)
    new = package(
        tmp_path / "new",
        {
            "a": RNG.integers(0, 256, 300_000, dtype=np.uint8),
            "b": tensors["b"],
            "c": np.concatenate([tensors["c"], tensors["c"]]),
            "d": RNG.integers(0, 256, 5000, dtype=np.uint8),
        },
    )
    assert made_of(old, new, tmp_path) is None
