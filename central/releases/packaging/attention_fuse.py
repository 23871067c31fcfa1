"""Puts one GroupQueryAttention in the place of each layer's attention in plain operators.

Plain attention joins the past to the new keys by a copy, and its mask knows one length for all rows.
GroupQueryAttention writes the new keys into the past's own memory and takes rows of different lengths: the engine of a
school relies on both. Only what the operator itself computes is replaced: causal attention, over all that came before
or over a sliding window. Projections, norms and rotary positions stay, whatever an architecture makes of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.optimum_export import POSITIONS
from central.releases.packaging.plain_graph import PlainGraph, integers

_MASK = "attention_mask"
_LENGTHS = "/attention/"
_SHAPING = {"Unsqueeze", "Expand", "Reshape", "Transpose"}
_COMPARISONS = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual"}
_HEADS_BEHIND_TOKENS = [0, 2, 1, 3]


@dataclass(frozen=True)
class _Attention:
    """What a layer's plain operators compute, from `query`, `key` and `value` (rows, heads, tokens, size) to `end`."""

    query: str
    key: str
    value: str
    scale: float
    window: int
    """How many tokens a token looks at, itself included; 0: all before it."""
    end: NodeProto
    """Gives the answer as (rows, tokens, heads x size)."""


def attention_fuse(plain: PlainGraph) -> None:
    """Replace the attention of every layer, and the input of positions by what the mask says.

    Raises:
        GraphUnexpected: a layer's attention is something else than the operator computes.
    """
    shapes = {entry.name: [dim.dim_value for dim in entry.type.tensor_type.shape.dim] for entry in plain.graph.input}
    pasts = [shapes[name] for name in shapes if name.startswith("past_key_values.") and name.endswith(".key")]
    if not pasts:
        raise GraphUnexpected(expected="past keys and values", found=sorted(shapes))
    for layer, (_, kv_heads, _, head_size) in enumerate(pasts):
        found = _find(plain, layer)
        plain.replace(found.end, list(_fused(plain, found, layer=layer, kv_heads=kv_heads, head_size=head_size)))
        for part in ("key", "value"):
            plain.replace(plain.maker(f"present.{layer}.{part}"), [])
    plain.begin_with(list(_lengths()))


def past_check(model: onnx.ModelProto) -> None:
    """Take the input of positions away; nothing but the new attention looks at mask and past afterwards.

    Raises:
        GraphUnexpected: a node does. The past is memory of another length now, and the mask counts tokens.
    """
    for node in model.graph.node:
        reads_past = any(name.startswith(("past_key_values.", "present.")) for name in node.input)
        if (reads_past and node.op_type != "GroupQueryAttention") or (
            _MASK in node.input and not node.name.startswith(_LENGTHS)
        ):
            raise GraphUnexpected(expected="mask and past for the attention only", found=node.name)
    kept = [entry for entry in model.graph.input if entry.name != POSITIONS]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _find(plain: PlainGraph, layer: int) -> _Attention:
    key, value = (plain.maker(f"present.{layer}.{part}", "Concat") for part in ("key", "value"))
    scores, scale = _multiplied(plain, key.output[0])
    answer, value_scale = _multiplied(plain, value.output[0])
    query = scores.input[0]
    while (factor := plain.factor(plain.maker(query))) is not None:
        query, scale = factor[0], scale * factor[1]
    masked = _step(plain, scores, "Add")
    mask = next(name for name in masked.input if name != scores.output[0])
    weights = _step(plain, masked, "Softmax")
    # A row that sees nothing has no softmax; its weights are made zeros.
    if plain.user(weights.output[0]).op_type == "Where":
        weights = plain.user(weights.output[0])
    turned = _step(plain, _step(plain, weights, "MatMul"), "Transpose")
    if (
        list(turned.attribute[0].ints) != _HEADS_BEHIND_TOKENS
        or value_scale != 1
        or turned.input[0] != answer.output[0]
    ):
        raise GraphUnexpected(expected="values weighed by a softmax", found=turned.name)
    end = _step(plain, turned, "Reshape")
    return _Attention(query, key.input[1], value.input[1], scale, _window(plain, mask), end)


def _multiplied(plain: PlainGraph, name: str) -> tuple[NodeProto, float]:
    """Follow the tensor `name` to the matrix product that it goes into; return that, and by what it was multiplied."""
    node, scale = plain.user(name), 1.0
    while node.op_type != "MatMul":
        factor = plain.factor(node)
        if factor is None and node.op_type not in _SHAPING:
            raise GraphUnexpected(expected="keys and values as they are", found=node.name)
        scale *= 1.0 if factor is None else factor[1]
        node = plain.user(node.output[0])
    return node, scale


def _step(plain: PlainGraph, node: NodeProto, kind: str) -> NodeProto:
    following = plain.user(node.output[0])
    if following.op_type != kind:
        raise GraphUnexpected(expected=f"{kind} behind {node.name}", found=following.op_type)
    return following


def _window(plain: PlainGraph, mask: str) -> int:
    """Return the window of the causal `mask`, 0 where it has none.

    It is what transformers writes: a token at q sees one at k where k <= q, and, with a window w, where k > q - w.
    """
    choice = plain.maker(mask, "Where")
    seen, hidden = (plain.array(name) for name in choice.input[1:])
    if seen is None or hidden is None or seen.any() or np.any(hidden > np.finfo(np.float32).min):
        raise GraphUnexpected(expected="a mask of zeros and the least number", found=mask)
    allowed = plain.maker(choice.input[0], "Slice").input[0]
    comparisons = {node.op_type: node for node in plain.before(allowed) if node.op_type in _COMPARISONS}
    if comparisons.keys() == {"LessOrEqual"}:
        return 0
    if comparisons.keys() == {"LessOrEqual", "Greater"}:
        oldest = plain.maker(comparisons["Greater"].input[1], "Sub")
        width = plain.array(oldest.input[1])
        if width is not None and oldest.input[0] == comparisons["LessOrEqual"].input[1]:
            return int(width)
    raise GraphUnexpected(expected="a causal mask, or one with a window", found=sorted(comparisons))


def _fused(plain: PlainGraph, found: _Attention, *, layer: int, kv_heads: int, head_size: int) -> Iterator[NodeProto]:
    prefix = f"/model/layers.{layer}/attn"
    heads = plain.weights(_step(plain, found.end, "MatMul").input[1]).shape[0] // head_size
    rows = []
    for part, name, width in (("q", found.query, heads), ("k", found.key, kv_heads), ("v", found.value, kv_heads)):
        yield integers([0, 0, width * head_size], f"attention.{layer}.{part}.shape")
        yield helper.make_node(
            "Transpose",
            [name],
            [f"{prefix}/{part}/turned"],
            name=f"{prefix}/{part}/Transpose",
            perm=_HEADS_BEHIND_TOKENS,
        )
        yield helper.make_node(
            "Reshape",
            [f"{prefix}/{part}/turned", f"attention.{layer}.{part}.shape"],
            [f"{prefix}/{part}/rows"],
            name=f"{prefix}/{part}/Reshape",
        )
        rows.append(f"{prefix}/{part}/rows")
    parts = ("key", "value")
    yield helper.make_node(
        "GroupQueryAttention",
        [*rows, *(f"past_key_values.{layer}.{part}" for part in parts), "attention.behind", "attention.total"],
        [found.end.output[0], *(f"present.{layer}.{part}" for part in parts)],
        name=f"{prefix}/GroupQueryAttention",
        domain="com.microsoft",
        num_heads=heads,
        kv_num_heads=kv_heads,
        scale=found.scale,
        local_window_size=found.window or -1,
    )


def _lengths() -> Iterator[NodeProto]:
    """Yield the nodes that count a row's tokens before its last, those of the longest row, and where new ones stand."""
    yield integers([1], "attention.one")
    yield _node("ReduceSum", [_MASK, "attention.one"], "tokens", keepdims=1)
    yield _node("Sub", ["attention.tokens", "attention.one"], "before_last")
    yield _node("Squeeze", ["attention.before_last", "attention.one"], "before_last_flat")
    yield _node("Cast", ["attention.before_last_flat"], "behind", to=TensorProto.INT32)
    yield _node("Shape", [_MASK], "longest", start=1, end=2)
    yield _node("Squeeze", ["attention.longest"], "longest_number")
    yield _node("Cast", ["attention.longest_number"], "total", to=TensorProto.INT32)
    yield _node("Shape", ["input_ids"], "new", start=1, end=2)
    yield _node("Sub", ["attention.tokens", "attention.new"], "first")
    yield integers(0, "attention.nothing")
    yield integers(1, "attention.step")
    yield _node("Squeeze", ["attention.new"], "new_number")
    yield _node("Range", ["attention.nothing", "attention.new_number", "attention.step"], "places")
    yield helper.make_node("Add", ["attention.first", "attention.places"], [POSITIONS], name="/attention/positions/Add")


def _node(kind: str, inputs: list[str], output: str, **settings: Any) -> NodeProto:  # noqa: ANN401 - attributes of any operator
    return helper.make_node(kind, inputs, [f"attention.{output}"], name=f"{_LENGTHS}{output}/{kind}", **settings)
