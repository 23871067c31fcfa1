"""Turns the float32 graph into one with 8-bit weights, the embedding and the head sharing one copy.

Symmetric, one float32 scale for each block of 32 inputs of an output. That grid holds the Q8_0 weights of a GGUF source
exactly, and it is lossless in practice where 4 bits double the perplexity of a small model (see docs/decisions).
The bytes of the embedding stand once in the file: the head reads them as MatMulNBits blocks, the embedding as rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_weights import WeightFile, weight_read, weight_view

BLOCK = 32
BITS = 8
GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
_ZERO_POINT = 128
_LARGEST = np.float32(127)
_COLUMNS_AT_ONCE = 8192
_HEAD = "/lm_head/MatMul"
_EMBEDDING = "/model/embed_tokens/Gather"
_EMBEDDING_SCALE = "/model/embed_tokens/Mul"


def graph_quantise(*, source: Path, into: Path, progress: Callable[[float], None]) -> onnx.ModelProto:
    """Write the 8-bit weights of the graph in `source` to `into` and return the graph that reads them, not yet saved.

    Raises:
        GraphUnexpected: the graph is not the one that the builder makes for Gemma 3 with a shared embedding.
    """
    into.mkdir(parents=True, exist_ok=True)
    model = onnx.load(source / GRAPH, load_external_data=False)
    old = {tensor.name: tensor for tensor in model.graph.initializer}
    matrices = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in old]
    kept: list[TensorProto] = []
    shared: dict[str, TensorProto] = {}
    with WeightFile(into / WEIGHTS) as weights:
        for done, node in enumerate(matrices):
            tensor = old.pop(node.input[1])
            codes, scales = blocks_quantise(weight_read(tensor, folder=source))
            stored = [weights.put(f"{tensor.name}.q8", codes), weights.put(f"{tensor.name}.scales", scales)]
            kept.extend(stored)
            _become_quantised(node, stored, columns=codes.shape[0], rows=int(tensor.dims[0]))
            if node.name == _HEAD:
                shared = dict(zip(("codes", "scales"), stored, strict=True))
            progress((done + 1) / len(matrices))
        kept.extend(weights.put(name, weight_read(tensor, folder=source)) for name, tensor in old.items())
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    _share_embedding(model.graph, shared)
    return model


def blocks_quantise(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return MatMulNBits' codes (out, in / 32, 32), zero point 128, and scales (out, in / 32) of a matrix (in, out)."""
    rows, columns = matrix.shape
    if rows % BLOCK:
        raise GraphUnexpected(expected=f"a multiple of {BLOCK} inputs", found=rows)
    codes = np.empty((columns, rows // BLOCK, BLOCK), np.uint8)
    scales = np.empty((columns, rows // BLOCK), np.float32)
    for start in range(0, columns, _COLUMNS_AT_ONCE):
        part = slice(start, start + _COLUMNS_AT_ONCE)
        blocks = np.ascontiguousarray(matrix[:, part].T).reshape(-1, rows // BLOCK, BLOCK)
        scale = np.abs(blocks).max(axis=-1) / _LARGEST
        divisor = np.where(scale > 0, scale, np.float32(1))
        codes[part] = np.rint(blocks / divisor[..., None]).astype(np.int16) + _ZERO_POINT
        scales[part] = scale
    return codes, scales


def _become_quantised(node: NodeProto, weights: list[TensorProto], *, columns: int, rows: int) -> None:
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    del node.input[1:]
    node.input.extend(tensor.name for tensor in weights)
    settings: dict[str, Any] = {"K": rows, "N": columns, "bits": BITS, "block_size": BLOCK, "accuracy_level": 4}
    node.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())


def _share_embedding(graph: onnx.GraphProto, head: dict[str, TensorProto]) -> None:
    """Let the embedding read the head's codes, and scale it by the square root of the hidden size itself."""
    nodes = {node.name: node for node in graph.node}
    if not head or _EMBEDDING not in nodes or nodes[_EMBEDDING_SCALE].op_type != "Mul":
        raise GraphUnexpected(expected="a shared embedding", found=sorted(nodes)[:3])
    columns, blocks, block = head["codes"].dims
    graph.initializer.append(weight_view(head["codes"], name="embedding.q8", shape=(columns, blocks * block)))
    gather = nodes[_EMBEDDING]
    _remove_producer(graph, gather.input[0])
    gather.op_type, gather.domain = "GatherBlockQuantized", "com.microsoft"
    words = gather.input[1]
    del gather.input[:]
    gather.input.extend(["embedding.q8", words, head["scales"].name])
    settings = {"bits": BITS, "block_size": block, "gather_axis": 0, "quantize_axis": 1}
    del gather.attribute[:]
    gather.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())
    # The builder rounds the factor to two decimals, transformers does not.
    factor = np.array(math.sqrt(blocks * block), np.float32)
    graph.initializer.append(onnx.numpy_helper.from_array(factor, "embedding.factor"))
    nodes[_EMBEDDING_SCALE].input[1] = "embedding.factor"


def _remove_producer(graph: onnx.GraphProto, output: str) -> None:
    for node in graph.node:
        if output in node.output:
            graph.node.remove(node)
            return
    raise GraphUnexpected(expected=f"a node that makes {output}", found="none")
