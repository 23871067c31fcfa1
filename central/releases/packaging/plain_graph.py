"""A graph of ONNX's own operators, while some of them are replaced by others that compute the same.

It finds the way from one node to the next and puts replacements in; what they are is its callers'. Nodes that nothing
needs any more are left out at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_weights import weight_read


class PlainGraph:
    """The graph of `model`, whose weights may lie beside it in `folder`."""

    def __init__(self, model: onnx.ModelProto, *, folder: Path) -> None:
        """Change nothing yet."""
        self.graph = model.graph
        self._folder = folder
        self._tensors: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes: dict[str, NodeProto] = {node.name: node for node in model.graph.node}
        self._makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}
        self._users: dict[str, list[NodeProto]] = defaultdict(list)
        for node in model.graph.node:
            for name in node.input:
                self._users[name].append(node)
        self._replaced: dict[str, Sequence[NodeProto]] = {}
        self._first: list[NodeProto] = []

    def nodes(self, kind: str) -> Iterator[NodeProto]:
        """Yield the nodes of one kind, in the graph's order."""
        return (node for node in self.graph.node if node.op_type == kind)

    def named(self, name: str) -> NodeProto | None:
        """Return the node called `name`, or None."""
        return self._nodes.get(name)

    def maker(self, name: str, *kinds: str) -> NodeProto:
        """Return the node that makes the tensor `name`.

        Raises:
            GraphUnexpected: none does, or one that is of none of `kinds`.
        """
        node = self._makers.get(name)
        if node is None or (kinds and node.op_type not in kinds):
            raise GraphUnexpected(expected=f"{name} made by {'|'.join(kinds)}", found=node and node.op_type)
        return node

    def user(self, name: str) -> NodeProto:
        """Return the one node that computes with the tensor `name`; those that only ask for its shape don't count.

        Raises:
            GraphUnexpected: none does, or several.
        """
        users = [node for node in self._users[name] if node.op_type not in {"Shape", "IsNaN"}]
        if len(users) != 1:
            raise GraphUnexpected(expected=f"one user of {name}", found=[node.name for node in users])
        return users[0]

    def array(self, name: str) -> NDArray[Any] | None:
        """Return the values of the constant `name`, or None where it is computed."""
        if name in self._tensors:
            return weight_read(self._tensors[name], folder=self._folder)
        node = self._makers.get(name)
        if node is None or node.op_type != "Constant":
            return None
        return numpy_helper.to_array(helper.get_attribute_value(node.attribute[0]))

    def weights(self, name: str) -> NDArray[Any]:
        """Return the values of the constant `name`.

        Raises:
            GraphUnexpected: it is computed.
        """
        values = self.array(name)
        if values is None:
            raise GraphUnexpected(expected="weights", found=name)
        return values

    def factor(self, node: NodeProto) -> tuple[str, float] | None:
        """Return what `node` multiplies, and by which number; None where it does not multiply by a constant number."""
        for number, other in ((1, 0), (0, 1)) if node.op_type == "Mul" else ():
            values = self.array(node.input[number])
            if values is not None and values.size == 1:
                return node.input[other], float(values.reshape(()))
        return None

    def before(self, name: str) -> list[NodeProto]:
        """Return every node that the tensor `name` depends on."""
        waiting, found = [name], {}
        while waiting:
            node = self._makers.get(waiting.pop())
            if node is not None and node.output[0] not in found:
                found[node.output[0]] = node
                waiting.extend(node.input)
        return list(found.values())

    def replace(self, node: NodeProto, others: Sequence[NodeProto]) -> None:
        """Let `others` stand in the place of `node`."""
        self._replaced[node.output[0]] = others

    def begin_with(self, nodes: Sequence[NodeProto]) -> None:
        """Let `nodes`, which need inputs of the graph only, stand before all others."""
        self._first.extend(nodes)

    def finish(self) -> None:
        """Write the replacements into the graph, without the nodes that nothing needs then; its weights stay."""
        placed = [other for node in self.graph.node for other in self._replaced.get(node.output[0], [node])]
        needed = {entry.name for entry in self.graph.output}
        kept: list[NodeProto] = []
        for node in reversed([*self._first, *placed]):
            if needed & set(node.output):
                # Copied: clearing the graph's list frees the nodes that it holds.
                kept.append(NodeProto.FromString(node.SerializeToString()))
                needed |= set(node.input)
        del self.graph.node[:]
        self.graph.node.extend(reversed(kept))
        del self.graph.value_info[:]


def integers(values: Sequence[int] | int, name: str) -> NodeProto:
    """Return the node that gives the constant int64 `values`, or the one number, as the tensor `name`."""
    value = numpy_helper.from_array(np.array(values, np.int64))
    return helper.make_node("Constant", [], [name], name=f"/{name}", value=value)
