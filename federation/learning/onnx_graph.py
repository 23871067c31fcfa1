"""Find weights and settings in a serving ONNX graph, block-quantised, in small floats or plain, tensor by tensor.

It knows the operators that onnxruntime-genai's builder writes, the blocks of MatMulNBits and GatherBlockQuantized, and
matrices that a Cast, a DequantizeLinear or a Transpose stands before; it does not know Gemma. Weights are mapped from
the file beside the graph, and stay in the form that they have there (`federation.learning.packed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from federation.errors import CapacityError
from federation.learning.packed import BlockMatrix, FloatMatrix, PackedMatrix, codes_unpack

GRAPH = "model.onnx"
_EXTENDED = {"float8_e4m3fn": torch.float8_e4m3fn, "bfloat16": torch.bfloat16}


class BaseUnreadable(CapacityError):
    """The package's graph is missing, damaged, or not one that training can read its base out of."""

    code = "base_unreadable"


@dataclass(frozen=True, slots=True)
class _Held:
    """The initializer `stored` (inputs, outputs), or turned around; `scales` are one for each output."""

    stored: str
    scales: str | None
    is_turned: bool


class OnnxGraph:
    """The graph of a package: nodes by name, initializers by name."""

    def __init__(self, folder: Path) -> None:
        """Read `model.onnx` of the package at `folder`; its weights stay on disk.

        Raises:
            BaseUnreadable: it is missing or not ONNX.
        """
        self.folder = folder
        try:
            model = onnx.load(folder / GRAPH, load_external_data=False)
        except Exception as error:  # protobuf's DecodeError has no public common base with OSError
            raise BaseUnreadable(path=str(folder), problem=f"{GRAPH}: {error}") from error
        self._nodes: dict[str, NodeProto] = {node.name: node for node in model.graph.node}
        self._tensors: dict[str, TensorProto] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers: dict[str, NodeProto] = {name: node for node in model.graph.node for name in node.output}

    def node(self, name: str) -> NodeProto:
        """Return the node called `name`.

        Raises:
            BaseUnreadable: there is none.
        """
        if name not in self._nodes:
            raise BaseUnreadable(path=str(self.folder), problem=f"no node {name}")
        return self._nodes[name]

    def has_node(self, name: str) -> bool:
        """Return whether a node is called `name`."""
        return name in self._nodes

    def has_array(self, name: str) -> bool:
        """Return whether an initializer is called `name`."""
        return name in self._tensors

    def setting(self, node: NodeProto, name: str) -> Any:  # noqa: ANN401 - ONNX attributes are of many types
        """Return the attribute `name` of `node`.

        Raises:
            BaseUnreadable: it has none.
        """
        for attribute in node.attribute:
            if attribute.name == name:
                return helper.get_attribute_value(attribute)
        raise BaseUnreadable(path=str(self.folder), problem=f"{node.name} has no {name}")

    def array(self, name: str) -> NDArray[Any]:
        """Return the values of the initializer `name`, mapped from disk where they lie beside the graph.

        Raises:
            BaseUnreadable: there is none, or the file is too short for it.
        """
        tensor = self._tensor(name)
        if tensor.data_location != TensorProto.EXTERNAL:
            return numpy_helper.to_array(tensor)
        place = {entry.key: entry.value for entry in tensor.external_data}
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        offset, shape = int(place.get("offset", 0)), tuple(tensor.dims)
        try:
            return np.memmap(self.folder / place["location"], dtype=kind, mode="c", offset=offset, shape=shape)
        except (OSError, ValueError) as error:
            raise BaseUnreadable(path=str(self.folder), problem=f"{name}: {error}") from error

    def place(self, name: str) -> tuple[str, str]:
        """Return where the bytes of the initializer `name`, or of that which it is made of, lie.

        Two that begin at one place are one tensor.
        """
        stored = self._held(name).stored
        entries = {entry.key: entry.value for entry in self._tensor(stored).external_data}
        return entries.get("location", stored), entries.get("offset", "0")

    def matrix_shape(self, node: NodeProto) -> tuple[int, int]:
        """Return (outputs, inputs) of a MatMul or MatMulNBits node."""
        if node.op_type == "MatMulNBits":
            return self.setting(node, "N"), self.setting(node, "K")
        held = self._held(node.input[1])
        first, second = self._tensor(held.stored).dims
        return (first, second) if held.is_turned else (second, first)

    def matrix(self, node: NodeProto) -> PackedMatrix:
        """Return the weights (outputs, inputs) of a MatMul or MatMulNBits node, mapped as they are stored.

        Raises:
            BaseUnreadable: the node is another, or its weights are cut.
        """
        if node.op_type == "MatMul":
            return self._float_matrix(self._held(node.input[1]))
        if node.op_type != "MatMulNBits":
            raise BaseUnreadable(path=str(self.folder), problem=f"{node.name} is {node.op_type}")
        return self._block_matrix(node, node.input[1], node.input[2], *node.input[3:4])

    def table(self, node: NodeProto) -> PackedMatrix:
        """Return the table (rows, columns) of a Gather or GatherBlockQuantized node, mapped as it is stored.

        Raises:
            BaseUnreadable: the node is another, or its table is cut.
        """
        if node.op_type == "Gather":
            return FloatMatrix(_tensor(self.array(node.input[0])), None)
        if node.op_type != "GatherBlockQuantized":
            raise BaseUnreadable(path=str(self.folder), problem=f"{node.name} is {node.op_type}")
        return self._block_matrix(node, node.input[0], node.input[2], *node.input[3:4])

    def _held(self, name: str) -> _Held:
        """Return how the matrix `name` is held: an initializer, or what nodes make of one."""
        stored, scales, is_turned = name, None, False
        while stored in self._makers:
            maker = self._makers[stored]
            if maker.op_type == "Transpose":
                is_turned = not is_turned
            elif maker.op_type == "DequantizeLinear" and scales is None and len(maker.input) == 2:  # noqa: PLR2004 - no zero point
                scales = maker.input[1]
            elif maker.op_type != "Cast":
                raise BaseUnreadable(path=str(self.folder), problem=f"{name} is made by {maker.op_type}")
            stored = maker.input[0]
        return _Held(stored, scales, is_turned)

    def _float_matrix(self, held: _Held) -> FloatMatrix:
        stored = _tensor(self.array(held.stored))
        scales = None if held.scales is None else _tensor(self.array(held.scales)).float()
        return FloatMatrix(stored if held.is_turned else stored.T, scales)

    def _block_matrix(self, node: NodeProto, codes: str, scales: str, zero_points: str = "") -> BlockMatrix:
        bits = self.setting(node, "bits")
        packed = self.array(codes)
        steps = _tensor(self.array(scales).reshape(len(packed), -1)).float()
        zeros = _zeros(self.array(zero_points).reshape(len(packed), -1), bits, steps.shape[1]) if zero_points else None
        return BlockMatrix(_tensor(packed.reshape(len(packed), -1)), steps, zeros, bits)

    def _tensor(self, name: str) -> TensorProto:
        if name not in self._tensors:
            raise BaseUnreadable(path=str(self.folder), problem=f"no initializer {name}")
        return self._tensors[name]


def _zeros(stored: NDArray[Any], bits: int, blocks: int) -> torch.Tensor:
    """Return the zero points (rows, blocks): packed like codes, or plain floats."""
    zeros = _tensor(stored)
    return codes_unpack(zeros, bits)[:, :blocks] if zeros.dtype == torch.uint8 else zeros.float()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return the same memory as a tensor; NumPy has floats of 8 bits and bfloat16 from an extension, torch its own."""
    # Torch warns of memory that it may not write to, though nobody writes; of a mapped file it is a private page.
    array = array if array.flags.writeable else array.copy()
    if array.dtype.name in _EXTENDED:
        return torch.from_numpy(array.view(f"i{array.dtype.itemsize}")).view(_EXTENDED[array.dtype.name])
    return torch.from_numpy(array)
