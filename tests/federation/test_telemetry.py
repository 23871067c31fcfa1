"""No process of ours lets ONNX Runtime tell its maker what it runs."""

import os
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

SESSION = "import {first}; import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"


def environment(home, **changes):
    # ONNX Runtime keeps quiet by itself where it sees a build server.
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    return inherited | {"HOME": str(home)} | changes


@pytest.fixture
def model(tmp_path):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [value("x", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("first", ["federation.inference", "central"])
def test_a_session_leaves_nothing_to_be_sent(first, model, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(
        [sys.executable, "-c", SESSION.format(first=first), str(model)], check=True, env=environment(home), timeout=120
    )
    assert list(home.rglob("*")) == []
