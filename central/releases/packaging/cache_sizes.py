"""Writes the width of a key into the graph's inputs and outputs, where the exporter leaves a name.

The engine reserves its key-value cache from what the graph declares, and from nothing else.
"""

from __future__ import annotations

import onnx

from central.releases.packaging.errors import GraphUnexpected

_KEY_NORM = "model.layers.0.attn.k_norm.layernorm.weight"
_WIDTH_AXIS = 3


def cache_declare(model: onnx.ModelProto) -> None:
    """Give the last axis of every `past_key_values.*` and `present.*` of `model` its size.

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
