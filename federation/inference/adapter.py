"""The adapter as it travels: a header and one int8 matrix B a slot; A is never sent, a seed names it (FFA-LoRA).

The file is the magic bytes, the header's length (uint32, little endian), the header (JSON, sorted keys), then for each
slot in the header's order `rank` float32 scales and B as int8 (rank, d_out), row by row, both little endian. The same
factors give the same bytes. `adapter_expand` writes the file that ONNX Runtime loads.

Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from federation.basis import frozen_a
from federation.inference.errors import (
    AdapterDamaged,
    AdapterForAnotherBase,
    AdapterNotFinite,
    AdapterRankTooLarge,
    AdapterShapeMismatch,
)
from federation.inference.package import PackageCard

__all__ = ["Adapter", "adapter_expand", "adapter_read", "adapter_write", "frozen_a"]

MAX_RANK = 64
"""The largest rank that the packages made now allow; each says its own in its card."""
_MAGIC = b"SOROLORA"
_FORMAT = 1
_LARGEST = np.float32(127)
_HEADER_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Adapter:
    """What an adapter file holds; `b` is float32 (rank, d_out) by slot, every scale already in it."""

    base_digest: str
    seed: str
    rank: int
    b: Mapping[str, NDArray[np.float32]]


def adapter_write(path: Path, *, base_digest: str, seed: str, rank: int, b: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the adapter `b` (float32 (rank, d_out) by slot) for the base `base_digest` to `path`, rounded to int8.

    Raises:
        AdapterShapeMismatch: a factor has not `rank` rows.
        AdapterNotFinite: a factor holds NaN or infinity.
    """
    slots, body = [], bytearray()
    for name in sorted(b):
        factor = np.asarray(b[name], np.float32)
        _check(name, factor, rank)
        scales = np.abs(factor).max(axis=1) / _LARGEST
        divisor = np.where(scales > 0, scales, np.float32(1))
        codes = np.rint(factor / divisor[:, None]).astype(np.int8)
        body += scales.astype("<f4").tobytes() + codes.tobytes()
        slots.append([name, int(factor.shape[1])])
    header = {"format": _FORMAT, "base": base_digest, "seed": seed, "rank": rank, "slots": slots}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(_MAGIC + struct.pack("<I", len(text)) + text + bytes(body))


def adapter_read(path: Path, *, base_digest: str) -> Adapter:
    """Return the adapter at `path`, which belongs to the base `base_digest`.

    Raises:
        AdapterDamaged: the file is not an adapter, or is cut or too long.
        AdapterForAnotherBase: it was made for another base.
        AdapterNotFinite: a scale is NaN or infinite.
    """
    try:
        header, body = _divide(path.read_bytes())
        rank, slots = int(header["rank"]), [(str(name), int(columns)) for name, columns in header["slots"]]
        found, seed = str(header["base"]), str(header["seed"])
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise AdapterDamaged(path=str(path), problem=f"{type(error).__name__}: {error}") from error
    if found != base_digest:
        raise AdapterForAnotherBase(expected=base_digest, found=found)
    if rank < 1 or len(body) != sum(4 * rank + rank * columns for _, columns in slots):
        raise AdapterDamaged(path=str(path), problem="its length is not what its header says")
    return Adapter(base_digest=found, seed=seed, rank=rank, b=_factors(body, rank, slots))


def adapter_expand(adapter: Adapter, *, card: PackageCard, into: Path) -> None:
    """Write `adapter` as the `.onnx_adapter` file `into` for the package of `card`; a slot that it lacks stays empty.

    Raises:
        AdapterRankTooLarge: its rank is above the card's largest.
        AdapterShapeMismatch: the package lacks a slot, or a factor does not fit it.
    """
    if adapter.rank > card.max_rank:
        raise AdapterRankTooLarge(found=adapter.rank, largest=card.max_rank)
    known = {slot.name: slot for slot in card.slots}
    parameters = {}
    for name, factor in adapter.b.items():
        expected = (adapter.rank, known[name].d_out) if name in known else None
        if factor.shape != expected:
            raise AdapterShapeMismatch(slot=name, expected=expected, found=factor.shape)
        a = frozen_a(seed=adapter.seed, slot=name, d_in=known[name].d_in, rank=adapter.rank)
        for letter, values in (("A", a), ("B", factor)):
            parameters[f"lora.{name}.{letter}"] = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))
    file = onnxruntime.AdapterFormat()
    file.set_adapter_version(_FORMAT)
    file.set_model_version(1)
    file.set_parameters(parameters)
    file.export_adapter(str(into))


def _check(name: str, factor: NDArray[np.float32], rank: int) -> None:
    if factor.ndim != 2 or factor.shape[0] != rank:  # noqa: PLR2004 - a matrix has two axes
        raise AdapterShapeMismatch(slot=name, expected=(rank, "d_out"), found=factor.shape)
    if not np.isfinite(factor).all():
        raise AdapterNotFinite(slot=name)


def _divide(content: bytes) -> tuple[dict[str, Any], bytes]:
    start = len(_MAGIC) + 4
    if not content.startswith(_MAGIC):
        raise ValueError("not an adapter")
    (length,) = struct.unpack("<I", content[len(_MAGIC) : start])
    if length > _HEADER_BYTES:
        raise ValueError("header too long")
    header = json.loads(content[start : start + length])
    if header["format"] != _FORMAT:
        raise ValueError(f"format {header['format']}")
    return header, content[start + length :]


def _factors(body: bytes, rank: int, slots: Sequence[tuple[str, int]]) -> dict[str, NDArray[np.float32]]:
    factors, position = {}, 0
    for name, columns in slots:
        scales = np.frombuffer(body, "<f4", count=rank, offset=position)
        if not np.isfinite(scales).all():
            raise AdapterNotFinite(slot=name)
        position += 4 * rank
        codes = np.frombuffer(body, np.int8, count=rank * columns, offset=position).reshape(rank, columns)
        position += rank * columns
        factors[name] = codes.astype(np.float32) * scales[:, None].astype(np.float32)
    return factors
