"""The adapter as it travels: a header and one int8 matrix B a slot, and A too where its scheme learns one.

The file is the magic bytes, the header's length (uint32, little endian), the header (JSON, sorted keys), then for each
slot in the header's order `rank` float32 scales and B as int8 (rank, d_out), row by row, both little endian. That is
format 1: A is never sent, a seed names it. Format 2 has after each B its A, transposed (rank, d_in), in the same way.
The same factors give the same bytes. Serving and training both read it and neither may import the other, so it stands
here, below both.

Source: Sun et al. 2024, "Improving LoRA in privacy-preserving federated learning" (FFA-LoRA).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.basis import AdapterFactors
from federation.errors import CapacityError, TrustError

FORMAT = 1
FORMAT_WITH_A = 2
_MAGIC = b"SOROLORA"
_LARGEST = np.float32(127)
_LARGEST_SCALE = np.finfo(np.float32).max / 128
_HEADER_BYTES = 1024 * 1024


class AdapterDamaged(TrustError):
    """The adapter at `path` cannot be read: `problem`."""

    code = "adapter_damaged"


class AdapterTooNew(CapacityError):
    """The adapter is of the format `needed`, and this program knows those up to `has`."""

    code = "adapter_too_new"


class AdapterForAnotherBase(TrustError):
    """The adapter belongs to the base `found`, not to `expected`."""

    code = "adapter_for_another_base"


class AdapterShapeMismatch(TrustError):
    """The factor of `slot` has the shape `found` where the base has `expected`."""

    code = "adapter_shape_mismatch"


class AdapterNotFinite(TrustError):
    """The factor of `slot` holds NaN or infinity."""

    code = "adapter_not_finite"


@dataclass(frozen=True)
class Adapter:
    """What an adapter file holds, float32 by slot, every scale already in it: `b` (rank, d_out), `a` (d_in, rank)."""

    base_digest: str
    seed: str
    rank: int
    b: Mapping[str, NDArray[np.float32]]
    a: Mapping[str, NDArray[np.float32]] | None = None
    """None: the frozen A of the seed."""

    @property
    def factors(self) -> AdapterFactors:
        """The factors alone, as schools start from them and the centre moves them."""
        return AdapterFactors(a=self.a, b=self.b)


@dataclass(frozen=True)
class _SlotEntry:
    """A slot of the header; `d_in` is 0 where the file holds no A."""

    name: str
    d_out: int
    d_in: int


def adapter_write(
    path: Path,
    *,
    base_digest: str,
    seed: str,
    rank: int,
    b: Mapping[str, NDArray[np.float32]],
    a: Mapping[str, NDArray[np.float32]] | None = None,
) -> None:
    """Write the adapter for the base `base_digest` to `path`, rounded to int8: `b` (rank, d_out), `a` (d_in, rank).

    Raises:
        AdapterShapeMismatch: a factor has not `rank` rows (of A: columns), or `a` and `b` have other slots.
        AdapterNotFinite: a factor holds NaN or infinity.
    """
    slots: list[list[str | int]] = []
    body = bytearray()
    for name in sorted(b):
        factors = [b[name]] if a is None else [b[name], _a_of(a, name, rank).T]
        for factor in factors:
            body += _coded(name, np.asarray(factor, np.float32), rank)
        slots.append([name, *(int(factor.shape[1]) for factor in factors)])
    form = FORMAT if a is None else FORMAT_WITH_A
    header = {"format": form, "base": base_digest, "seed": seed, "rank": rank, "slots": slots}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(_MAGIC + struct.pack("<I", len(text)) + text + bytes(body))


def adapter_read(path: Path, *, base_digest: str) -> Adapter:
    """Return the adapter at `path`, which belongs to the base `base_digest`.

    Raises:
        AdapterDamaged: the file is not an adapter, or is cut or too long.
        AdapterTooNew: it is of a newer format than this program knows.
        AdapterForAnotherBase: it was made for another base.
        AdapterNotFinite: a scale is NaN or infinite, or makes its numbers so.
    """
    try:
        header, body = _divide(path.read_bytes())
        form, rank, slots = int(header["format"]), int(header["rank"]), list(_slots(header))
        found, seed = str(header["base"]), str(header["seed"])
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise AdapterDamaged(path=str(path), problem=f"{type(error).__name__}: {error}") from error
    if found != base_digest:
        raise AdapterForAnotherBase(expected=base_digest, found=found)
    sides = [side for slot in slots for side in (slot.d_out, slot.d_in) if side]
    if rank < 1 or len(body) != sum(4 * rank + rank * side for side in sides):
        raise AdapterDamaged(path=str(path), problem="its length is not what its header says")
    a, b = _factors(body, rank, slots)
    return Adapter(base_digest=found, seed=seed, rank=rank, b=b, a=a if form == FORMAT_WITH_A else None)


def _a_of(a: Mapping[str, NDArray[np.float32]], name: str, rank: int) -> NDArray[np.float32]:
    factor = a.get(name)
    if factor is None or factor.ndim != 2 or factor.shape[1] != rank:  # noqa: PLR2004 - a matrix has two axes
        found = None if factor is None else factor.shape
        raise AdapterShapeMismatch(slot=name, expected=("d_in", rank), found=found)
    return factor


def _coded(name: str, factor: NDArray[np.float32], rank: int) -> bytes:
    """Return `rank` float32 scales and the rows as int8."""
    if factor.ndim != 2 or factor.shape[0] != rank:  # noqa: PLR2004 - a matrix has two axes
        raise AdapterShapeMismatch(slot=name, expected=(rank, "d_out"), found=factor.shape)
    if not np.isfinite(factor).all():
        raise AdapterNotFinite(slot=name)
    scales = np.abs(factor).max(axis=1) / _LARGEST
    divisor = np.where(scales > 0, scales, np.float32(1))
    codes = np.rint(factor / divisor[:, None]).astype(np.int8)
    coded: bytes = scales.astype("<f4").tobytes() + codes.tobytes()
    return coded


def _divide(content: bytes) -> tuple[dict[str, Any], bytes]:
    start = len(_MAGIC) + 4
    if not content.startswith(_MAGIC):
        raise ValueError("not an adapter")
    (length,) = struct.unpack("<I", content[len(_MAGIC) : start])
    if length > _HEADER_BYTES:
        raise ValueError("header too long")
    header = json.loads(content[start : start + length])
    if isinstance(header["format"], int) and header["format"] > FORMAT_WITH_A:
        raise AdapterTooNew(needed=header["format"], has=FORMAT_WITH_A)
    if header["format"] not in (FORMAT, FORMAT_WITH_A):
        raise ValueError(f"format {header['format']}")
    return header, content[start + length :]


def _slots(header: Mapping[str, Any]) -> Iterator[_SlotEntry]:
    for name, *sides in header["slots"]:
        if len(sides) != int(header["format"]) or not all(isinstance(side, int) and side > 0 for side in sides):
            raise ValueError(f"slot {name} of {sides}")
        yield _SlotEntry(str(name), sides[0], sides[1] if len(sides) > 1 else 0)


def _factors(
    body: bytes, rank: int, slots: list[_SlotEntry]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    a, b = {}, {}
    position = 0
    for slot in slots:
        b[slot.name] = _decoded(slot.name, body, position, rank, slot.d_out)
        position += rank * (4 + slot.d_out)
        if slot.d_in:
            a[slot.name] = np.ascontiguousarray(_decoded(slot.name, body, position, rank, slot.d_in).T)
            position += rank * (4 + slot.d_in)
    return a, b


def _decoded(name: str, body: bytes, position: int, rank: int, columns: int) -> NDArray[np.float32]:
    scales = np.frombuffer(body, "<f4", count=rank, offset=position)
    if not np.all(np.abs(scales) <= _LARGEST_SCALE):
        raise AdapterNotFinite(slot=name)
    codes = np.frombuffer(body, np.int8, count=rank * columns, offset=position + 4 * rank).reshape(rank, columns)
    decoded: NDArray[np.float32] = codes.astype(np.float32) * scales[:, None].astype(np.float32)
    return decoded
