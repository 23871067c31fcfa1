"""Completes the exported graph, which has no matrices, by those of the checkpoint in another form, one at a time.

What the form is, and which nodes read it, is the caller's: a Holder. What the graph has is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_weights import WeightFile, weight_read
from central.releases.packaging.parts import HEAD_PART, part_of
from central.releases.packaging.stored_floats import StoredFloats

GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"


class Holder(Protocol):
    """Holds one matrix in another form."""

    def __call__(
        self, graph: onnx.GraphProto, node: NodeProto, matrix: NDArray[np.float32], weights: WeightFile
    ) -> list[TensorProto]:
        """Write the `matrix` (out, in) of `node`, let `graph` read it, and return the initializers that it then needs.

        The head's holder lets the embedding read the same bytes.
        """


def graph_rewrite(
    *, source: Path, floats: Path, into: Path, holder: Holder, progress: Callable[[float], None]
) -> onnx.ModelProto:
    """Write the weights of the graph in `source` to `into` and return the graph that reads them, not yet saved.

    `floats` is the prepared checkpoint that the graph was exported from.

    Raises:
        GraphUnexpected: the graph is not the one that the builder makes for Gemma 3 with a shared embedding.
    """
    into.mkdir(parents=True, exist_ok=True)
    model = onnx.load(source / GRAPH, load_external_data=False)
    old = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {output for node in model.graph.node for output in node.output}
    matrices = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] not in made]
    stored = StoredFloats(floats)
    if HEAD_PART not in {part_of(node.name) for node in matrices}:
        raise GraphUnexpected(expected="a head", found=[node.name for node in matrices][-1:])
    kept: list[TensorProto] = []
    with WeightFile(into / WEIGHTS) as weights:
        for done, node in enumerate(matrices):
            if not part_of(node.name):
                raise GraphUnexpected(expected="Gemma's projections and head", found=node.name)
            kept.extend(holder(model.graph, node, stored.matrix(part_of(node.name)), weights))
            progress((done + 1) / len(matrices))
        kept.extend(weights.put(name, weight_read(tensor, folder=source)) for name, tensor in old.items())
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model
