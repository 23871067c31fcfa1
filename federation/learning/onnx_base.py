"""Rebuild the frozen base as a PyTorch Gemma 3 model from the very package that serves it (design: decision 8).

Every size and setting is read from the graph itself, so that training cannot disagree with serving: what the school
downloaded once is enough, and an adapter is trained against exactly the weights that it will run on. Matrices stay
packed and on the disk (`federation.learning.packed`); of the model's own memory only the norms are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import NodeProto
from torch import nn
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from federation.learning.onnx_graph import BaseUnreadable, OnnxGraph
from federation.learning.packed import MatrixPart, PackedEmbedding, PackedLinear, PackedMatrix, StackedMatrix

_MLP = ("gate_proj", "up_proj", "down_proj")
_NORMS = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
_HEAD = "/lm_head/MatMul"
# Of a package of small floats, the pieces of the head.
_HEAD_PIECE = "/lm_head/{}/MatMul"
_EMBEDDING = "/model/embed_tokens/Gather"
# Of a package whose rare words have another form than the common ones: the second part of each.
_RARE_HEAD = "/lm_head/rare/MatMul"
_RARE_EMBEDDING = "/model/embed_tokens/rare/Gather"


def onnx_base_load(folder: Path, *, dtype: torch.dtype) -> Any:  # noqa: ANN401 - transformers is untyped
    """Return the package's base as a Gemma3ForCausalLM in evaluation mode, frozen, that computes in `dtype`.

    Its projections, embedding and head are packed modules. Norm weights are float32. The embedding and the head are one
    matrix where the package keeps them as one.

    Raises:
        BaseUnreadable: the graph is not that of a Gemma 3 text model, or its weights are cut.
    """
    graph = OnnxGraph(folder)
    layers = sum(1 for _ in _layers(graph))
    if not layers:
        raise BaseUnreadable(path=str(folder), problem="no layers")
    config = _config(graph, layers)
    with torch.device("meta"):
        model: Any = Gemma3ForCausalLM(config)
    for layer in range(layers):
        _layer_fill(model.model.layers[layer], graph, layer, config)
    embedding, head = _embedding_and_head(graph)
    model.model.embed_tokens = PackedEmbedding(embedding, scale=config.hidden_size**0.5, dtype=dtype)
    model.lm_head = PackedLinear(head)
    model.model.norm.weight = _norm(graph, f"model.layers.{layers}.final_norm_layernorm.weight")
    _rotary_fill(model.model, graph)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model.eval()


def _layers(graph: OnnxGraph) -> Iterator[int]:
    layer = 0
    while graph.has_node(_attention_name(layer)):
        yield layer
        layer += 1


def _attention_name(layer: int) -> str:
    return f"/model/layers.{layer}/attn/GroupQueryAttention"


def _projection(graph: OnnxGraph, layer: int, part: str) -> NodeProto:
    branch = "mlp" if part in _MLP else "attn"
    return graph.node(f"/model/layers.{layer}/{branch}/{part}/MatMul")


def _config(graph: OnnxGraph, layers: int) -> Gemma3TextConfig:
    attention = [graph.node(_attention_name(layer)) for layer in range(layers)]
    heads, kv_heads = (graph.setting(attention[0], name) for name in ("num_heads", "kv_num_heads"))
    rows, hidden = graph.matrix_shape(_projection(graph, 0, "qkv_proj"))
    windows = [graph.setting(node, "local_window_size") for node in attention]
    first_norm = graph.node("/model/layers.0/input_layernorm/LayerNorm")
    return Gemma3TextConfig(
        vocab_size=sum(graph.matrix_shape(head)[0] for head in _heads(graph)),
        hidden_size=hidden,
        intermediate_size=graph.matrix_shape(_projection(graph, 0, "gate_proj"))[0],
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=rows // (heads + 2 * kv_heads),
        query_pre_attn_scalar=round(graph.setting(attention[0], "scale") ** -2),
        rms_norm_eps=graph.setting(first_norm, "epsilon"),
        sliding_window=max(1, *windows),
        layer_types=["sliding_attention" if window > 0 else "full_attention" for window in windows],
        tie_word_embeddings=False,
        use_cache=False,
        attn_implementation="sdpa",
    )


def _embedding_and_head(graph: OnnxGraph) -> tuple[PackedMatrix, PackedMatrix]:
    heads, gathers = _heads(graph), _parts(graph, _EMBEDDING, _RARE_EMBEDDING)
    head = _stacked([graph.matrix(node) for node in heads])
    if {graph.place(gather.input[0]) for gather in gathers} <= {graph.place(node.input[1]) for node in heads}:
        return head, head
    return _stacked([graph.table(gather) for gather in gathers]), head


def _stacked(parts: list[PackedMatrix]) -> PackedMatrix:
    return parts[0] if len(parts) == 1 else StackedMatrix(parts)


def _heads(graph: OnnxGraph) -> list[NodeProto]:
    """Return the parts of the head in the order of their words: one, common and rare words, or pieces by number."""
    pieces: list[NodeProto] = []
    while graph.has_node(_HEAD_PIECE.format(len(pieces))):
        pieces.append(graph.node(_HEAD_PIECE.format(len(pieces))))
    return pieces or _parts(graph, _HEAD, _RARE_HEAD)


def _parts(graph: OnnxGraph, *names: str) -> list[NodeProto]:
    return [graph.node(name) for name in names if graph.has_node(name)]


def _layer_fill(block: Any, graph: OnnxGraph, layer: int, config: Gemma3TextConfig) -> None:  # noqa: ANN401 - transformers is untyped
    prefix = f"model.layers.{layer}"
    packed, first = graph.matrix(_projection(graph, layer, "qkv_proj")), 0
    counts = (config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads)
    for name, count in zip(("q_proj", "k_proj", "v_proj"), counts, strict=True):
        setattr(block.self_attn, name, PackedLinear(MatrixPart(packed, first, count * config.head_dim)))
        first += count * config.head_dim
    block.self_attn.o_proj = PackedLinear(graph.matrix(_projection(graph, layer, "o_proj")))
    for name in _MLP:
        setattr(block.mlp, name, PackedLinear(graph.matrix(_projection(graph, layer, name))))
    for name in _NORMS:
        getattr(block, name).weight = _norm(graph, f"{prefix}.{name}.weight")
    for name in ("q_norm", "k_norm"):
        getattr(block.self_attn, name).weight = _norm(graph, f"{prefix}.attn.{name}.layernorm.weight")


def _norm(graph: OnnxGraph, name: str) -> nn.Parameter:
    # The graph holds 1 + weight, the factor that Gemma multiplies by; transformers holds the weight.
    weight = torch.from_numpy(graph.array(name).astype(np.float32) - np.float32(1))
    return nn.Parameter(weight, requires_grad=False)


def _rotary_fill(inner: Any, graph: OnnxGraph) -> None:  # noqa: ANN401 - transformers is untyped
    """Give the tensors that no checkpoint holds their values: the rotary frequencies."""
    for rotary, suffix in ((inner.rotary_emb, "global"), (inner.rotary_emb_local, "local")):
        first_step = torch.from_numpy(_frequencies(graph, suffix))
        rotary.inv_freq = first_step
        rotary.original_inv_freq = first_step


def _frequencies(graph: OnnxGraph, suffix: str) -> NDArray[np.float32]:
    """Return the angles of the first step: as the graph has them, or out of its tables of sines and cosines."""
    if graph.has_array(f"inv_freq_{suffix}"):
        return np.array(graph.array(f"inv_freq_{suffix}"), np.float32).reshape(-1)
    angles: NDArray[np.float32] = np.arctan2(
        graph.array(f"sin_cache_{suffix}")[1], graph.array(f"cos_cache_{suffix}")[1]
    )
    return angles
