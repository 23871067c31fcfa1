"""Reads and writes the weights that lie beside an ONNX graph, one tensor at a time.

Whole models never stand in memory: a tensor is mapped from the old file and written to the new one. Every tensor starts
at a page boundary, so that the engine can map it.
"""

from __future__ import annotations

import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_PAGE_BYTES = 4096
_INLINE_BYTES = 1024


def weight_read(tensor: TensorProto, *, folder: Path) -> NDArray[Any]:
    """Return the values of an initializer, mapped from the file beside the graph where they are kept there."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    place = {entry.key: entry.value for entry in tensor.external_data}
    return np.memmap(
        folder / place["location"],
        dtype=helper.tensor_dtype_to_np_dtype(tensor.data_type),
        mode="r",
        offset=int(place.get("offset", 0)),
        shape=tuple(tensor.dims),
    )


def stored_bytes(values: NDArray[Any]) -> int:
    """Return what `values` take in a package: whole pages of the file of weights, or their own bytes in the graph."""
    return values.nbytes if values.nbytes <= _INLINE_BYTES else -(-values.nbytes // _PAGE_BYTES) * _PAGE_BYTES


class WeightFile:
    """A new file of weights; use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Create or empty the file at `path`."""
        self._name = path.name
        self._stream = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def put(self, name: str, values: NDArray[Any]) -> TensorProto:
        """Write `values` and return the initializer `name` that refers to them; tiny ones stay in the graph itself."""
        if values.nbytes <= _INLINE_BYTES:
            return numpy_helper.from_array(np.ascontiguousarray(values), name)
        self._stream.write(b"\0" * (-self._stream.tell() % _PAGE_BYTES))
        offset = self._stream.tell()
        np.ascontiguousarray(values).tofile(self._stream)
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = TensorProto(name=name, dims=values.shape, data_type=kind)
        _place(tensor, self._name, offset=offset, length=values.nbytes)
        return tensor


def weight_view(tensor: TensorProto, *, name: str, shape: tuple[int, ...], first_row: int = 0) -> TensorProto:
    """Return an initializer `name` over the bytes of `tensor`, in another shape; `first_row` counts in rows of it."""
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    skipped, size = first_row * math.prod(shape[1:]) * kind.itemsize, math.prod(shape) * kind.itemsize
    view = TensorProto(name=name, dims=shape, data_type=tensor.data_type)
    if tensor.data_location != TensorProto.EXTERNAL:
        view.raw_data = tensor.raw_data[skipped : skipped + size]
        return view
    place = {entry.key: entry.value for entry in tensor.external_data}
    _place(view, place["location"], offset=int(place["offset"]) + skipped, length=size)
    return view


def _place(tensor: TensorProto, location: str, *, offset: int, length: int) -> None:
    """Say that the values of `tensor` are the `length` bytes from `offset` of the file `location` beside the graph."""
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
