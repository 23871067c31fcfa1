"""Lets the embedding read the very bytes of the head, as rows.

A head of one part is gathered from directly. From one of two parts every word is looked up in both, with its id held
within each, and the right one of the two is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_weights import weight_view

GATHER = "/model/embed_tokens/Gather"
RARE_GATHER = "/model/embed_tokens/rare/Gather"
_SCALE = "/model/embed_tokens/Mul"

HeadPart = tuple[Sequence[TensorProto], BlockWeights]


def embedding_share(graph: onnx.GraphProto, parts: Sequence[HeadPart]) -> list[TensorProto]:
    """Let the embedding of `graph` read the one or two `parts` of the head; return the tensors that it needs besides.

    Raises:
        GraphUnexpected: the graph has no embedding that could share its bytes.
    """
    factor = embedding_replace(
        graph, lambda words, output: list(_lookup(words, output, parts)), hidden=parts[0][1].shape[1]
    )
    tensors = [
        factor,
        *(_rows(stored, name) for (stored, _), name in zip(parts, ("codes", "rare.codes"), strict=False)),
    ]
    if len(parts) > 1:
        common = parts[0][1].shape[0]
        for name, value in (("common", common), ("last", common - 1), ("none", 0), ("axis", -1)):
            values = np.array([value] if name == "axis" else value, np.int64)
            tensors.append(numpy_helper.from_array(values, f"embedding.{name}"))
    return tensors


def embedding_replace(
    graph: onnx.GraphProto, lookup: Callable[[str, str], Sequence[NodeProto]], *, hidden: int
) -> TensorProto:
    """Put the nodes of `lookup(words, rows)` in the place of the embedding of `graph`; return the tensor of its factor.

    It is scaled by the square root of the `hidden` size itself: the builder rounds the factor to two decimals.

    Raises:
        GraphUnexpected: the graph has no embedding that reads the head's weights.
    """
    nodes = {node.name: node for node in graph.node}
    if GATHER not in nodes or nodes[_SCALE].op_type != "Mul":
        raise GraphUnexpected(expected="a shared embedding", found=sorted(nodes)[:3])
    gather = nodes[GATHER]
    words, output = gather.input[1], gather.output[0]
    _remove(graph, gather.input[0], gather)
    place = next(index for index, node in enumerate(graph.node) if node.name == _SCALE)
    graph.node[place].input[1] = "embedding.factor"
    for offset, node in enumerate(lookup(words, output)):
        graph.node.insert(place + offset, node)
    return numpy_helper.from_array(np.array(math.sqrt(hidden), np.float32), "embedding.factor")


def _lookup(words: str, output: str, parts: Sequence[HeadPart]) -> Iterator[NodeProto]:
    if len(parts) == 1:
        yield _gather(GATHER, "embedding.codes", words, parts[0], output)
        return
    yield _node("Min", [words, "embedding.last"], "embedding.common.ids")
    yield _gather(GATHER, "embedding.codes", "embedding.common.ids", parts[0], "embedding.common.rows")
    yield _node("Sub", [words, "embedding.common"], "embedding.behind")
    yield _node("Max", ["embedding.behind", "embedding.none"], "embedding.rare.ids")
    yield _gather(RARE_GATHER, "embedding.rare.codes", "embedding.rare.ids", parts[1], "embedding.rare.rows")
    yield _node("Less", [words, "embedding.common"], "embedding.is_common")
    yield _node("Unsqueeze", ["embedding.is_common", "embedding.axis"], "embedding.chosen")
    yield _node("Where", ["embedding.chosen", "embedding.common.rows", "embedding.rare.rows"], output)


def _gather(name: str, codes: str, words: str, part: HeadPart, output: str) -> NodeProto:
    stored, rounded = part
    return helper.make_node(
        "GatherBlockQuantized",
        [codes, words, *(tensor.name for tensor in stored[1:])],
        [output],
        name=name,
        domain="com.microsoft",
        bits=rounded.bits,
        block_size=rounded.block,
        gather_axis=0,
        quantize_axis=1,
    )


def _node(kind: str, inputs: Sequence[str], output: str) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"/{output.replace('.', '/')}/{kind}")


def _rows(stored: Sequence[TensorProto], name: str) -> TensorProto:
    """Return the codes of a part of the head as rows (words, bytes)."""
    rows, blocks, bytes_of_block = stored[0].dims
    return weight_view(stored[0], name=f"embedding.{name}", shape=(rows, blocks * bytes_of_block))


def _remove(graph: onnx.GraphProto, table: str, gather: NodeProto) -> None:
    """Take out the gather and the node that makes its table."""
    makers = [node for node in graph.node if table in node.output]
    if len(makers) != 1:
        raise GraphUnexpected(expected=f"a node that makes {table}", found=len(makers))
    graph.node.remove(makers[0])
    graph.node.remove(gather)
