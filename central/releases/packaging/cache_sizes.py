"""Writes into the graph what the engine's key-value cache is made by: the width of a key, and how far layers look back.

The exporter leaves a name for the width. The engine reserves its cache from what the graph says, and from nothing else.
"""

from __future__ import annotations

import onnx

from central.releases.packaging.errors import GraphUnexpected
from federation.inference.graph_session import WINDOWS

_KEY_NORM = "model.layers.0.attn.k_norm.layernorm.weight"
_WIDTH_AXIS = 3


def cache_declare(model: onnx.ModelProto) -> None:
    """Give the last axis of every `past_key_values.*` and `present.*` of `model` its size, and note its windows.

    Raises:
        GraphUnexpected: the keys of the first layer are not normalised, as Gemma 3's are.
    """
    norms = [tensor for tensor in model.graph.initializer if tensor.name == _KEY_NORM]
    if len(norms) != 1:
        raise GraphUnexpected(expected=_KEY_NORM, found=len(norms))
    for entry in [*model.graph.input, *model.graph.output]:
        if entry.name.startswith(("past_key_values.", "present.")):
            width = entry.type.tensor_type.shape.dim[_WIDTH_AXIS]
            width.Clear()
            width.dim_value = norms[0].dims[0]
    attention = [node for node in model.graph.node if node.op_type == "GroupQueryAttention"]
    note = model.metadata_props.add()
    note.key, note.value = WINDOWS, ",".join(str(_window(node)) for node in attention)


def _window(attention: onnx.NodeProto) -> int:
    """Return how many tokens the layer looks back; 0 where to the beginning."""
    sizes = [attribute.i for attribute in attention.attribute if attribute.name == "local_window_size"]
    return max(0, *sizes) if sizes else 0
