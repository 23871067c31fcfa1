"""Opens a graph to adapters: each projection gets a slot, an optional pair of factors A and B beside its weights.

A slot's factors are graph inputs with empty default values ([in, 0] and [0, out]): no adapter, no change. With one, the
projection's output becomes `W x + (x @ A) @ B`; every scale is already in B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.parts import HEAD_PART, LAYER_PARTS, part_of


@dataclass(frozen=True)
class SlotShape:
    """A projection that an adapter may change: x is (…, d_in), its output (…, d_out)."""

    name: str
    d_in: int
    d_out: int


def slots_add(model: onnx.ModelProto) -> tuple[SlotShape, ...]:
    """Give every projection of `model` its slot, in place, and return the slots in the graph's order.

    Raises:
        GraphUnexpected: a layer lacks one of the five projections, for instance because q, k and v are not packed.
    """
    slots = []
    nodes: list[NodeProto] = []
    widened = _widened(model.graph)
    for node in model.graph.node:
        nodes.append(node)
        part = part_of(node.name)
        if part and part != HEAD_PART:
            slot = _shape(node, part, widened)
            nodes.extend(_branch(model.graph, node, slot))
            slots.append(slot)
    expected = {f"layers.{i}.{part}" for i in range(len(slots) // len(LAYER_PARTS)) for part in LAYER_PARTS}
    if not slots or {slot.name for slot in slots} != expected:
        raise GraphUnexpected(expected="five projections a layer", found=[slot.name for slot in slots][:6])
    # Copied first: clearing the graph's list frees the nodes that it holds.
    ordered = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(ordered)
    return tuple(slots)


def _widened(graph: onnx.GraphProto) -> dict[str, tuple[int, int]]:
    """Return the shapes (in, out) of the matrices that are held in small floats, by the name of their float32 copy."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    makers = [node for node in graph.node if node.op_type in {"Cast", "DequantizeLinear"} and node.input[0] in shapes]
    return {node.output[0]: shapes[node.input[0]] for node in makers}


def _shape(node: NodeProto, name: str, widened: Mapping[str, tuple[int, int]]) -> SlotShape:
    sizes = {attribute.name: attribute.i for attribute in node.attribute}
    if {"K", "N"} <= sizes.keys():
        return SlotShape(name=name, d_in=sizes["K"], d_out=sizes["N"])
    if node.input[1] not in widened:
        raise GraphUnexpected(expected="MatMulNBits, or a matrix of small floats", found=node.op_type)
    d_in, d_out = widened[node.input[1]]
    return SlotShape(name=name, d_in=d_in, d_out=d_out)


def _branch(graph: onnx.GraphProto, node: NodeProto, slot: SlotShape) -> list[NodeProto]:
    """Declare the slot's two inputs and return the nodes that add its product to the output of `node`."""
    prefix = f"lora.{slot.name}"
    for factor, dims, shape in (
        ("A", (slot.d_in, 0), (slot.d_in, f"{prefix}.rank")),
        ("B", (0, slot.d_out), (f"{prefix}.rank", slot.d_out)),
    ):
        name = f"{prefix}.{factor}"
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        graph.initializer.append(numpy_helper.from_array(np.zeros(dims, np.float32), name))
    source, output = node.input[0], node.output[0]
    node.output[0] = f"{prefix}.base"
    return [
        helper.make_node("MatMul", [source, f"{prefix}.A"], [f"{prefix}.inner"], name=f"/{prefix}/A"),
        helper.make_node("MatMul", [f"{prefix}.inner", f"{prefix}.B"], [f"{prefix}.outer"], name=f"/{prefix}/B"),
        helper.make_node("Add", [f"{prefix}.base", f"{prefix}.outer"], [output], name=f"/{prefix}/Add"),
    ]
