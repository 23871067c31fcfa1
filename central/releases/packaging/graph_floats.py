"""Turns the float32 graph into one that holds its weights as small floats and computes in float32.

A projection reads its float16 matrix through a Cast, its E4M3 matrix through a DequantizeLinear; then comes the same
MatMul as before. The embedding and the head are one float16 table (words, hidden): ONNX looks rows up in float16, but
not in E4M3. The head casts the table in pieces, so that its float32 copy, the largest of all, never stands whole.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from central.releases.packaging.embedding import GATHER, embedding_replace
from central.releases.packaging.float_weights import FloatWeights, float16_round
from central.releases.packaging.graph_rewrite import graph_rewrite
from central.releases.packaging.graph_weights import WeightFile, weight_view
from central.releases.packaging.parts import HEAD_PART, part_of

WORDS_AT_ONCE = 16384


class FloatRounder(Protocol):
    """Rounds one matrix to small floats."""

    def __call__(self, part: str, matrix: NDArray[np.float32]) -> FloatWeights:
        """Return the matrix (out, in) of `part`, such as `layers.3.qkv`, in float16 or E4M3."""


def graph_narrow(
    *, source: Path, floats: Path, into: Path, rounder: FloatRounder, progress: Callable[[float], None]
) -> onnx.ModelProto:
    """Write the weights of the graph in `source` to `into` and return the graph that reads them, not yet saved.

    `floats` is the prepared checkpoint that the graph was exported from. `rounder` rounds the projections; the table of
    words is float16.

    Raises:
        GraphUnexpected: the graph is not the one that the builder makes for Gemma 3, or a weight is no number.
    """

    def hold(
        graph: onnx.GraphProto, node: NodeProto, matrix: NDArray[np.float32], weights: WeightFile
    ) -> list[TensorProto]:
        part = part_of(node.name)
        if part == HEAD_PART:
            return _table(graph, node, weights.put("embedding.table", float16_round(matrix).values))
        return _projection(graph, node, rounder(part, matrix), weights)

    return graph_rewrite(source=source, floats=floats, into=into, holder=hold, progress=progress)


def _projection(
    graph: onnx.GraphProto, node: NodeProto, rounded: FloatWeights, weights: WeightFile
) -> list[TensorProto]:
    name = node.input[1]
    stored = [weights.put(f"{name}.values", rounded.values.T)]
    if rounded.scales is not None:
        stored.append(weights.put(f"{name}.scales", rounded.scales))
    node.input[1] = f"{name}.float32"
    graph.node.insert(list(graph.node).index(node), _widened(stored, node.input[1], axis=1))
    return stored


def _widened(stored: list[TensorProto], output: str, *, axis: int) -> NodeProto:
    """Return the node that makes float32 of values, whose scales, if any, lie along `axis`."""
    names = [tensor.name for tensor in stored]
    if len(stored) == 1:
        return helper.make_node("Cast", names, [output], name=f"/{output}/Cast", to=TensorProto.FLOAT)
    return helper.make_node("DequantizeLinear", names, [output], name=f"/{output}/DequantizeLinear", axis=axis)


def _table(graph: onnx.GraphProto, node: NodeProto, table: TensorProto) -> list[TensorProto]:
    """Let the head `node` and the embedding read `table` (words, hidden), and return the tensors that both need."""
    words, hidden = table.dims
    pieces, nodes = [], []
    for number, start in enumerate(range(0, words, WORDS_AT_ONCE)):
        rows = min(WORDS_AT_ONCE, words - start)
        piece = weight_view(table, name=f"head.{number}", shape=(rows, hidden), first_row=start)
        pieces.append(piece)
        nodes += [
            _widened([piece], f"head.{number}.float32", axis=0),
            helper.make_node(
                "Transpose",
                [f"head.{number}.float32"],
                [f"head.{number}.columns"],
                name=f"/lm_head/{number}/Transpose",
                perm=[1, 0],
            ),
            helper.make_node(
                "MatMul",
                [node.input[0], f"head.{number}.columns"],
                [f"head.{number}.logits"],
                name=f"/lm_head/{number}/MatMul",
            ),
        ]
    logits = [f"head.{number}.logits" for number in range(len(pieces))]
    nodes.append(helper.make_node("Concat", logits, list(node.output), name="/lm_head/Concat", axis=-1))
    place = list(graph.node).index(node)
    graph.node.remove(node)
    for offset, added in enumerate(nodes):
        graph.node.insert(place + offset, added)
    factor = embedding_replace(graph, _lookup, hidden=hidden)
    return [table, *pieces, factor]


def _lookup(words: str, output: str) -> list[NodeProto]:
    return [
        helper.make_node("Gather", ["embedding.table", words], ["embedding.rows"], name=GATHER),
        helper.make_node("Cast", ["embedding.rows"], [output], name="/embedding/rows/Cast", to=TensorProto.FLOAT),
    ]
