"""Lets one graph both chat fast and score text.

Chat needs the logits of the last token only, scoring those of many. Computing the head for every token of a prompt
triples the time to the first word, so the graph computes it for the last token and for the last n tokens, whose next
tokens the input `score.targets` int64 (batch, n) names; `score.logprobs` float32 (batch, n) are their
log-probabilities, and `score.logits` (batch, n, vocabulary) all that was expected there. While chatting n is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.parts import is_head

TARGETS = "score.targets"
LOGPROBS = "score.logprobs"
LOGITS = "score.logits"
_END = 2**62


def scoring_add(model: onnx.ModelProto) -> None:
    """Give `model` the input `score.targets` and its two outputs, and cut `logits` to (batch, 1, vocab).

    Raises:
        GraphUnexpected: the graph has no head or it does not make the logits.
    """
    graph = model.graph
    heads = [node for node in graph.node if is_head(node.name)]
    makers = [node for node in graph.node if "logits" in node.output]
    if not heads or len(makers) != 1:
        raise GraphUnexpected(expected="a head that makes the logits", found=len(heads))
    hidden = heads[0].input[0]
    for head in heads:
        head.input[0] = "score.rows"
    makers[0].output[0] = "score.head"
    place = list(graph.node).index(heads[0])
    for offset, node in enumerate(_before(hidden)):
        graph.node.insert(place + offset, node)
    graph.node.extend(_after())
    for name, values in (("last", [-1]), ("end", [_END]), ("first", [0]), ("one", [1]), ("vocabulary", [2])):
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"score.{name}"))
    graph.input.append(helper.make_tensor_value_info(TARGETS, TensorProto.INT64, ["batch_size", "scored"]))
    _declare_outputs(graph)


def _before(hidden: str) -> list[NodeProto]:
    """Nodes that pick the hidden states of the last token and, before it, of the scored ones."""
    return [
        _node("Shape", [hidden], "length", start=1, end=2),
        _node("Shape", [TARGETS], "count", start=1, end=2),
        _node("Sub", ["score.length", "score.count"], "start"),
        _node("Slice", [hidden, "score.start", "score.end", "score.one"], "scored_rows"),
        _node("Slice", [hidden, "score.last", "score.end", "score.one"], "last_row"),
        _node("Concat", ["score.last_row", "score.scored_rows"], "rows", axis=1),
    ]


def _after() -> list[NodeProto]:
    """Nodes that divide the head's output into the last token's logits and the log-probabilities of the targets."""
    return [
        helper.make_node(
            "Slice", ["score.head", "score.first", "score.one", "score.one"], ["logits"], name="/score/logits"
        ),
        _node("Slice", ["score.head", "score.one", "score.end", "score.one"], "logits"),
        _node("ReduceLogSumExp", ["score.logits", "score.vocabulary"], "normaliser", keepdims=1),
        _node("Unsqueeze", [TARGETS, "score.vocabulary"], "indices"),
        _node("GatherElements", ["score.logits", "score.indices"], "chosen", axis=2),
        _node("Sub", ["score.chosen", "score.normaliser"], "difference"),
        _node("Squeeze", ["score.difference", "score.vocabulary"], "logprobs"),
    ]


def _node(kind: str, inputs: Sequence[str], output: str, **settings: int) -> NodeProto:
    node = helper.make_node(kind, inputs, [f"score.{output}"], name=f"/score/{output}/{kind}")
    node.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())
    return node


def _declare_outputs(graph: onnx.GraphProto) -> None:
    """Say that `logits` has one row: the engine allocates it from what the graph declares."""
    for output in graph.output:
        if output.name == "logits":
            row = output.type.tensor_type.shape.dim[1]
            row.Clear()
            row.dim_value = 1
    vocabulary = next(o.type.tensor_type.shape.dim[2].dim_value for o in graph.output if o.name == "logits")
    for name, shape in ((LOGPROBS, ["batch_size", "scored"]), (LOGITS, ["batch_size", "scored", vocabulary])):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    stale = [value for value in graph.value_info if value.name == "logits"]
    for value in stale:
        graph.value_info.remove(value)
