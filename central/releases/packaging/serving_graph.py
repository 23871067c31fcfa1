"""Makes the graph that schools run of optimum's: the same model in the form in which the builder's comes.

Its matrices are left out, as there: the next step reads them from the checkpoint.

Every change computes the same: attention and norms become one operator each, the projections of q, k and v become one
product that is divided afterwards, the embedding reads the head's weights where both are equal. Matrices and norms get
the names by which the next steps, and the trainer at a school, know them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper

from central.releases.packaging.attention_fuse import attention_fuse, past_check
from central.releases.packaging.embedding import GATHER
from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_rewrite import GRAPH, WEIGHTS
from central.releases.packaging.graph_weights import WeightFile
from central.releases.packaging.norm_fuse import norm_fuse, norms_find
from central.releases.packaging.parts import HEAD_NODE
from central.releases.packaging.plain_graph import PlainGraph, integers

_PROJECTION = re.compile(r"/model/layers\.(\d+)/(self_attn|mlp)/(\w+)_proj/MatMul")
_LAYER_NORM = re.compile(r"/model/layers\.(\d+)/(?:(self_attn)/)?(\w+)/Mul_\d+")
_FINAL_NORM = re.compile(r"/model/norm/Mul_\d+")
_ROTARY = {"/model/rotary_emb/Expand": "inv_freq_global", "/model/rotary_emb_local/Expand": "inv_freq_local"}
_PACKED = {"q", "k", "v"}
_HEAD_WEIGHT = "lm_head.MatMul.weight"
_CONTRIB = "com.microsoft"

Tensors = dict[str, NDArray[np.float32]]


def serving_graph_write(*, plain: Path, into: Path) -> None:
    """Leave `model.onnx` and `model.onnx.data` of optimum's graph in the folder `plain`, with positions, at `into`.

    Raises:
        GraphUnexpected: a layer's attention or projections are not what is known here.
    """
    model = onnx.load(plain / GRAPH, load_external_data=False)
    graph = PlainGraph(model, folder=plain)
    attention_fuse(graph)
    tensors: Tensors = {}
    _norms_fuse(graph, tensors)
    _projections_pack(graph)
    _words_share(graph)
    _frequencies_name(graph, tensors)
    graph.finish()
    past_check(model)
    into.mkdir(parents=True, exist_ok=True)
    _weights_write(model, graph, tensors, into / WEIGHTS)
    model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
    onnx.save(model, into / GRAPH)


def _weights_write(model: onnx.ModelProto, graph: PlainGraph, tensors: Tensors, path: Path) -> None:
    """Write `tensors`, and what else the nodes of `model` need of its own, to `path`."""
    read = {name for node in model.graph.node for name in node.input}
    others = [tensor.name for tensor in model.graph.initializer if tensor.name in read - tensors.keys()]
    with WeightFile(path) as weights:
        kept = [weights.put(name, graph.weights(name)) for name in others]
        kept.extend(weights.put(name, values) for name, values in tensors.items())
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _norms_fuse(graph: PlainGraph, tensors: Tensors) -> None:
    norms = norms_find(graph)
    layers = {match[1] for norm in norms if (match := _LAYER_NORM.fullmatch(norm.end.name))}
    for norm in norms:
        name, weight = _norm_names(norm.end.name, layers=len(layers))
        tensors[weight] = graph.weights(norm.weight)
        norm_fuse(graph, norm, name=name, weight=weight)


def _norm_names(node: str, *, layers: int) -> tuple[str, str]:
    """Return how the operator and the weight of the norm that ends at the plain node called `node` are called."""
    if _FINAL_NORM.fullmatch(node):
        return (
            f"/model/layers.{layers}/final_norm_layernorm/LayerNorm",
            f"model.layers.{layers}.final_norm_layernorm.weight",
        )
    match = _LAYER_NORM.fullmatch(node)
    if match is None:
        raise GraphUnexpected(expected="a layer's norm, or the last one", found=node)
    layer, in_attention, kind = match.groups()
    if in_attention:
        return (
            f"/model/layers.{layer}/attn/{kind}/SimplifiedLayerNormalization",
            f"model.layers.{layer}.attn.{kind}.layernorm.weight",
        )
    return f"/model/layers.{layer}/{kind}/LayerNorm", f"model.layers.{layer}.{kind}.weight"


def _projections_pack(graph: PlainGraph) -> None:
    groups: dict[tuple[str, str, str], list[tuple[str, NodeProto]]] = {}
    for node in graph.nodes("MatMul"):
        if match := _PROJECTION.fullmatch(node.name):
            layer, branch, kind = match.groups()
            branch = "attn" if branch == "self_attn" else branch
            groups.setdefault((layer, branch, "qkv" if kind in _PACKED else kind), []).append((kind, node))
    for (layer, branch, kind), found in groups.items():
        # The trainer divides the packed rows in this order.
        kinds, nodes = zip(*found, strict=True)
        if "".join(kinds) != kind or len({node.input[0] for node in nodes}) != 1:
            raise GraphUnexpected(expected="q, k and v, in this order, of one input", found=kinds)
        name = f"model.layers.{layer}.{branch}.{kind}_proj.MatMul.weight"
        widths = [graph.weights(node.input[1]).shape[1] for node in nodes]
        packed = list(_product(nodes, name, f"/model/layers.{layer}/{branch}/{kind}_proj", widths))
        for place, node in enumerate(nodes):
            graph.replace(node, [] if place else packed)


def _product(nodes: Sequence[NodeProto], weight: str, prefix: str, widths: Sequence[int]) -> Iterator[NodeProto]:
    """Yield the product that takes the place of `nodes`, and what divides it where it is several."""
    outputs = [node.output[0] for node in nodes]
    whole = outputs[0] if len(outputs) == 1 else f"{prefix}/MatMul/output_0"
    yield helper.make_node("MatMul", [nodes[0].input[0], weight], [whole], name=f"{prefix}/MatMul")
    if len(outputs) > 1:
        sizes = integers(list(widths), f"{prefix}/sizes")
        yield sizes
        yield helper.make_node("Split", [whole, sizes.output[0]], outputs, name=f"{prefix}/Split", axis=-1)


def _words_share(graph: PlainGraph) -> None:
    """Let the embedding read the head's weights, turned, where they are its own."""
    head, gather = graph.named(HEAD_NODE), graph.named(GATHER)
    if head is None or gather is None:
        raise GraphUnexpected(expected=f"{HEAD_NODE} and {GATHER}", found=None)
    columns, table = graph.weights(head.input[1]), graph.weights(gather.input[0])
    graph.replace(head, [helper.make_node("MatMul", [head.input[0], _HEAD_WEIGHT], list(head.output), name=head.name)])
    if np.array_equal(columns.T, table):
        rows = "/model/embed_tokens/Transpose/output_0"
        turned = helper.make_node(
            "Transpose", [_HEAD_WEIGHT], [rows], name="/model/embed_tokens/Transpose", perm=[1, 0]
        )
        looked_up = helper.make_node("Gather", [rows, gather.input[1]], list(gather.output), name=gather.name)
        graph.replace(gather, [turned, looked_up])


def _frequencies_name(graph: PlainGraph, tensors: Tensors) -> None:
    """Give the rotary frequencies the names by which the trainer knows them."""
    for node_name, name in _ROTARY.items():
        node = graph.named(node_name)
        if node is not None and (values := graph.array(node.input[0])) is not None:
            tensors[name] = values
            graph.replace(node, [helper.make_node("Expand", [name, node.input[1]], list(node.output), name=node.name)])
