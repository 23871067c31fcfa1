"""Turns the float32 graph into one with small integer weights, the embedding and the head sharing one copy.

How each matrix is rounded is the caller's: a Rounder. The bytes of the embedding stand once in the file: the head reads
them as MatMulNBits blocks, the embedding as rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from central.releases.packaging.block_weights import BlockWeights, concatenate
from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_weights import WeightFile, weight_read, weight_view
from central.releases.packaging.parts import HEAD_PART, part_of, part_sources
from central.releases.packaging.rounding import round_nearest

GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
_EMBEDDING = "/model/embed_tokens/Gather"
_EMBEDDING_SCALE = "/model/embed_tokens/Mul"
_INT8_ACTIVATIONS = 4


class Rounder(Protocol):
    """Rounds one matrix."""

    def __call__(self, part: str, matrix: NDArray[np.float32]) -> BlockWeights:
        """Return the matrix (out, in) of `part` (`layers.3.qkv`, `head`) in blocks."""


def nearest(*, bits: int, block: int) -> Rounder:
    """Return a rounder that rounds every matrix alike, to the nearest code."""
    return lambda _part, matrix: round_nearest(matrix, bits=bits, block=_fitting(block, matrix.shape[1]))


def kept_first(kept: Mapping[str, BlockWeights], rounder: Rounder) -> Rounder:
    """Return a rounder that takes the integers `kept` by the checkpoint where it has them, and `rounder` elsewhere."""

    def choose(part: str, matrix: NDArray[np.float32]) -> BlockWeights:
        return kept_part(kept, part) or rounder(part, matrix)

    return choose


def kept_part(kept: Mapping[str, BlockWeights], part: str) -> BlockWeights | None:
    """Return the integers that the checkpoint came with for all of `part`, or None."""
    sources = part_sources(part)
    return concatenate([kept[name] for name in sources]) if all(name in kept for name in sources) else None


def graph_quantise(*, source: Path, into: Path, rounder: Rounder, progress: Callable[[float], None]) -> onnx.ModelProto:
    """Write the rounded weights of the graph in `source` to `into` and return the graph that reads them, not yet saved.

    Raises:
        GraphUnexpected: the graph is not the one that the builder makes for Gemma 3 with a shared embedding.
    """
    into.mkdir(parents=True, exist_ok=True)
    model = onnx.load(source / GRAPH, load_external_data=False)
    old = {tensor.name: tensor for tensor in model.graph.initializer}
    matrices = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in old]
    kept: list[TensorProto] = []
    head: list[TensorProto] = []
    with WeightFile(into / WEIGHTS) as weights:
        for done, node in enumerate(matrices):
            part, tensor = part_of(node.name), old.pop(node.input[1])
            if not part:
                raise GraphUnexpected(expected="Gemma's projections and head", found=node.name)
            rounded = rounder(part, weight_read(tensor, folder=source).T)
            stored = _store(weights, tensor.name, rounded)
            kept.extend(stored)
            _become_quantised(node, stored, rounded)
            if part == HEAD_PART:
                head = stored
                _share_embedding(model.graph, stored, rounded)
            progress((done + 1) / len(matrices))
        if not head:
            raise GraphUnexpected(expected="a head", found=[node.name for node in matrices][-1:])
        kept.extend(weights.put(name, weight_read(tensor, folder=source)) for name, tensor in old.items())
    added = [tensor for tensor in model.graph.initializer if tensor.name.startswith("embedding.")]
    kept.extend(TensorProto.FromString(tensor.SerializeToString()) for tensor in added)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model


def _fitting(block: int, inputs: int) -> int:
    """Return `block`, or the largest smaller one that divides the inputs.

    Raises:
        GraphUnexpected: not even blocks of 16 do.
    """
    while inputs % block:
        block //= 2
        if block < 16:  # noqa: PLR2004 - MatMulNBits' smallest
            raise GraphUnexpected(expected="a multiple of 16 inputs", found=inputs)
    return block


def _store(weights: WeightFile, name: str, rounded: BlockWeights) -> list[TensorProto]:
    codes, zero_points = rounded.packed()
    stored = [weights.put(f"{name}.q{rounded.bits}", codes), weights.put(f"{name}.scales", rounded.scales)]
    return stored if zero_points is None else [*stored, weights.put(f"{name}.zeros", zero_points)]


def _become_quantised(node: NodeProto, stored: list[TensorProto], rounded: BlockWeights) -> None:
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    del node.input[1:]
    node.input.extend(tensor.name for tensor in stored)
    outputs, inputs = rounded.shape
    settings: dict[str, Any] = {
        "K": inputs,
        "N": outputs,
        "bits": rounded.bits,
        "block_size": rounded.block,
        "accuracy_level": _INT8_ACTIVATIONS,
    }
    node.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())


def _share_embedding(graph: onnx.GraphProto, head: list[TensorProto], rounded: BlockWeights) -> None:
    """Let the embedding read the head's codes, and scale it by the square root of the hidden size itself."""
    nodes = {node.name: node for node in graph.node}
    if _EMBEDDING not in nodes or nodes[_EMBEDDING_SCALE].op_type != "Mul":
        raise GraphUnexpected(expected="a shared embedding", found=sorted(nodes)[:3])
    rows, blocks, bytes_of_block = head[0].dims
    graph.initializer.append(weight_view(head[0], name="embedding.codes", shape=(rows, blocks * bytes_of_block)))
    gather = nodes[_EMBEDDING]
    _remove_producer(graph, gather.input[0])
    gather.op_type, gather.domain = "GatherBlockQuantized", "com.microsoft"
    words = gather.input[1]
    del gather.input[:]
    gather.input.extend(["embedding.codes", words, *(tensor.name for tensor in head[1:])])
    settings = {"bits": rounded.bits, "block_size": rounded.block, "gather_axis": 0, "quantize_axis": 1}
    del gather.attribute[:]
    gather.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())
    # The builder rounds the factor to two decimals, transformers does not.
    factor = np.array(math.sqrt(rounded.shape[1]), np.float32)
    graph.initializer.append(onnx.numpy_helper.from_array(factor, "embedding.factor"))
    nodes[_EMBEDDING_SCALE].input[1] = "embedding.factor"


def _remove_producer(graph: onnx.GraphProto, output: str) -> None:
    for node in graph.node:
        if output in node.output:
            graph.node.remove(node)
            return
    raise GraphUnexpected(expected=f"a node that makes {output}", found="none")
