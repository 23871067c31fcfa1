"""Where the centre finds the tensors of a package's file of weights."""

import numpy as np
import onnx
from onnx import helper

from central.releases.packaging.graph_weights import WeightFile, weight_view
from central.releases.tensor_places import tensors_place
from federation.wire.contributions import Part, list_write


def test_every_tensor_beside_the_graph_is_found_and_those_inside_it_are_not(tmp_path):
    with WeightFile(tmp_path / "model.onnx.data") as weights:
        tensors = [weights.put(name, np.ones(size, np.float32)) for name, size in (("a", 2000), ("b", 300), ("c", 10))]
    view = weight_view(tensors[0], name="v", shape=(1000,), first_row=1000)
    graph = helper.make_graph([], "g", [], [], initializer=[*tensors, view])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    assert tensors_place(tmp_path) == {"model.onnx.data": (4000, 8192)}


def test_a_folder_without_a_graph_has_no_tensors(tmp_path):
    (tmp_path / "adapter.bin").write_bytes(b"factors")
    assert tensors_place(tmp_path) == {}


def test_a_list_of_updates_is_cut_at_its_parts(tmp_path):
    parts = [Part(version=number, updates=("a" * 64,) * number) for number in (1, 2, 3)]
    (tmp_path / "contributions.bin").write_bytes(list_write(parts))
    assert tensors_place(tmp_path) == {"contributions.bin": (16, 40)}
