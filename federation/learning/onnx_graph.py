"""Read weights and settings out of a serving ONNX graph, block-quantised, in small floats or plain, tensor by tensor.

It knows the operators that onnxruntime-genai's builder writes, the blocks of MatMulNBits and GatherBlockQuantized, and
matrices that a Cast, a DequantizeLinear or a Transpose stands before; it does not know Gemma. Weights are mapped from
the file beside the graph, so that a whole model never stands in memory twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from federation.errors import CapacityError

GRAPH = "model.onnx"
_ROWS_AT_ONCE = 8192
_WHOLE_BYTE = 8


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
            return np.memmap(self.folder / place["location"], dtype=kind, mode="r", offset=offset, shape=shape)
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

    def matrix_rows(self, node: NodeProto) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the weights of a MatMul or MatMulNBits node as float32 (rows, inputs), with each piece's first row."""
        if node.op_type == "MatMul":
            yield from self._float_rows(self._held(node.input[1]))
            return
        if node.op_type != "MatMulNBits":
            raise BaseUnreadable(path=str(self.folder), problem=f"{node.name} is {node.op_type}")
        yield from self._block_rows(node, node.input[1], node.input[2], *node.input[3:4])

    def table_rows(self, node: NodeProto) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the table of a Gather or GatherBlockQuantized node as float32 (rows, columns), with each first row."""
        if node.op_type == "Gather":
            plain = self.array(node.input[0])
            for start in range(0, plain.shape[0], _ROWS_AT_ONCE):
                yield start, np.asarray(plain[start : start + _ROWS_AT_ONCE], dtype=np.float32)
            return
        if node.op_type != "GatherBlockQuantized":
            raise BaseUnreadable(path=str(self.folder), problem=f"{node.name} is {node.op_type}")
        yield from self._block_rows(node, node.input[0], node.input[2], *node.input[3:4])

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

    def _float_rows(self, held: _Held) -> Iterator[tuple[int, NDArray[np.float32]]]:
        stored = self.array(held.stored)
        rows = stored if held.is_turned else stored.T
        scales = None if held.scales is None else self.array(held.scales)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            values = np.ascontiguousarray(rows[part]).astype(np.float32, copy=False)
            yield start, values if scales is None else values * scales[part, None]

    def _block_rows(
        self, node: NodeProto, codes: str, scales: str, zero_points: str = ""
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        bits, block = self.setting(node, "bits"), self.setting(node, "block_size")
        packed = self.array(codes)
        rows = packed.shape[0]
        steps = self.array(scales).reshape(rows, -1)
        zeros = self.array(zero_points).reshape(rows, -1) if zero_points else None
        for start in range(0, rows, _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            zero = None if zeros is None else zeros[part]
            yield start, blocks_dequantise(packed[part], steps[part], zero, bits=bits, block=block)

    def _tensor(self, name: str) -> TensorProto:
        if name not in self._tensors:
            raise BaseUnreadable(path=str(self.folder), problem=f"no initializer {name}")
        return self._tensors[name]


def blocks_dequantise(
    codes: NDArray[np.uint8],
    scales: NDArray[np.float32],
    zero_points: NDArray[Any] | None,
    *,
    bits: int,
    block: int,
) -> NDArray[np.float32]:
    """Return (code - zero point) * scale as float32 (rows, inputs).

    `codes` hold `bits` (4 or 8) each, low nibble first, `scales` are (rows, blocks), zero points are packed like codes
    or plain floats, and are 2^(bits - 1) where absent.

    Source: ONNX Runtime's contrib operators, MatMulNBits and GatherBlockQuantized.
    """
    rows, blocks = scales.shape
    values = _unpack(codes.reshape(rows, -1), bits).reshape(rows, blocks, block).astype(np.float32)
    if zero_points is None:
        values -= np.float32(1 << (bits - 1))
    elif zero_points.dtype == np.uint8:
        values -= _unpack(zero_points, bits)[:, :blocks, None].astype(np.float32)
    else:
        values -= zero_points[:, :, None].astype(np.float32)
    values *= scales[:, :, None]
    return values.reshape(rows, blocks * block)


def _unpack(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == _WHOLE_BYTE:
        return packed
    pairs = np.stack([packed & 0x0F, packed >> 4], axis=-1)
    return pairs.reshape(packed.shape[0], -1)
