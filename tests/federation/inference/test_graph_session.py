"""What a loaded graph takes of the machine."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from federation.inference.graph_session import GraphSession

ROWS, COLUMNS = 2048, 8192
FLOAT32_BYTES = ROWS * COLUMNS * 4


def own_bytes() -> int:
    """Return the memory that this process has written, without what it maps from files."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def cast_graph(folder):
    """A package's graph with nothing in it but one float16 matrix."""
    matrix = np.zeros((ROWS, COLUMNS), np.float16)
    matrix.tofile(folder / "model.onnx.data")
    tensor = numpy_helper.from_array(matrix[:0], "matrix")
    tensor.ClearField("raw_data")
    tensor.dims[:] = matrix.shape
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="model.onnx.data"))
    past = ["batch", 1, "past", 16]
    declared = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["batch", 1, ROWS]),
        *(helper.make_tensor_value_info(f"past_key_values.0.{n}", TensorProto.FLOAT, past) for n in ("key", "value")),
    ]
    nodes = [
        helper.make_node("Cast", ["matrix"], ["float32"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["rows", "float32"], ["logits"]),
    ]
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, COLUMNS])
    graph = helper.make_graph(nodes, "one", declared, [logits], [tensor])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), folder / "model.onnx"
    )


def test_a_float16_matrix_is_not_made_float32_at_load(tmp_path):
    cast_graph(tmp_path)
    before = own_bytes()
    session = GraphSession(tmp_path, rows=1, context_tokens=8, threads=1)
    assert session.vocabulary == COLUMNS
    assert own_bytes() - before < FLOAT32_BYTES / 2
