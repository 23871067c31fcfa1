"""Write, read and judge updates: what one school learnt in one round, signed by the school's node (protocol §6).

An update is one file: an envelope of kind `update` that holds the UpdateHeader, a line feed, and the body: float16,
little-endian, row by row, in the header's order first B (rank, d_out) of every slot, then the Gram matrix (rank, rank)
of every slot: in which directions of x A the school's own examples lie (`federation.learning.aggregate`), scaled to
trace `rank`. The envelope signs the body through its SHA-256. `update_verify` judges in a fixed order, signature first,
and every refusal names the node.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from federation.errors import TrustError, WireError
from federation.trust.envelopes import UPDATE, envelope_open, envelope_payload_unverified, envelope_seal
from federation.trust.keys import SigningKey, VerifyingKey
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import ArrayShape, Factor, RoundPlan, UpdateHeader

MAX_ENVELOPE_BYTES = 256 * 1024
NORM_TOLERANCE = 1.01
"""An honest node clips in float32 and sends float16; the roundings may lift the norm by well under this factor."""

Arrays: TypeAlias = dict[str, NDArray[np.float16]]

_FLOAT16 = np.dtype("<f2")
_TRACE_TOLERANCE = 0.02


class MalformedUpdate(WireError):
    """The file is not an envelope line followed by a body."""

    code = "malformed_update"


class UpdateOfOtherNode(TrustError):
    """The update is signed by one node and names another."""

    code = "update_of_other_node"


class UpdateOfOtherPlan(TrustError):
    """The update answers another round's plan."""

    code = "update_of_other_plan"


class UpdateOnOtherBase(TrustError):
    """The update was trained on another base release than the plan's."""

    code = "update_on_other_base"


class UpdateVariantUnknown(TrustError):
    """The update was trained on a variant that the plan's base does not have."""

    code = "update_variant_unknown"


class UpdateRankMismatch(WireError):
    """The update's rank is not the plan's."""

    code = "update_rank_mismatch"


class UpdateLabelsOutOfRange(WireError):
    """The update was made from fewer examples than the plan asks for, or claims an impossible count."""

    code = "update_labels_out_of_range"


class UpdateSlotMismatch(WireError):
    """An array for one of the plan's slots is missing, doubled, out of order, or for no slot of the plan."""

    code = "update_slot_mismatch"


class UpdateShapeMismatch(WireError):
    """An array's shape is not what the base and the plan's rank demand."""

    code = "update_shape_mismatch"


class UpdateSizeMismatch(WireError):
    """The body is not as long as the header's float16 arrays."""

    code = "update_size_mismatch"


class UpdateBodyMismatch(TrustError):
    """The body is not the one that was signed."""

    code = "update_body_mismatch"


class UpdateNotFinite(WireError):
    """An array holds NaN or infinity."""

    code = "update_not_finite"


class UpdateGramInvalid(WireError):
    """A Gram matrix is not symmetric, not positive, or not of trace `rank`."""

    code = "update_gram_invalid"


class UpdateNormTooLarge(WireError):
    """The update's L2 norm exceeds the plan's `max_norm`, to which an honest node has clipped it."""

    code = "update_norm_too_large"


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An update that has passed every check; by slot float32 `b` (rank, d_out) and `grams` (rank, rank)."""

    header: UpdateHeader
    b: Mapping[str, NDArray[np.float32]]
    grams: Mapping[str, NDArray[np.float32]]
    norm: float
    sha256: str
    """Of the whole file; names the update."""


def update_write(
    *,
    plan: RoundPlan,
    node_id: str,
    counter: int,
    labels: int,
    steps: int,
    loss_before: float,
    loss_after: float,
    b: Mapping[str, NDArray[np.float32]],
    grams: Mapping[str, NDArray[np.float32]] | None = None,
    variant: str = "",
    made_at: datetime,
    key: SigningKey,
) -> bytes:
    """Return the update file that `key` signs for `node_id`; `b` holds float32 (rank, d_out) for each slot of the plan.

    `grams` hold float32 (rank, rank), symmetric, positive and not all zero; any trace, it is scaled here. Without them
    every direction counts alike. `variant` names the form of the base whose weights stood still, if it has several.

    Raises:
        UpdateSlotMismatch: `b` has no array for a slot of the plan.
        UpdateNotFinite: an array holds NaN, infinity, or a value that float16 cannot hold.
    """
    for slot in plan.slots:
        if slot not in b:
            raise UpdateSlotMismatch(node_id=node_id, slot=slot)
        if not np.all(np.abs(b[slot]) <= np.finfo(_FLOAT16).max):
            raise UpdateNotFinite(node_id=node_id, slot=slot)
    even = np.eye(plan.rank, dtype=np.float32)
    scaled = [even if grams is None else grams[slot] * (plan.rank / np.trace(grams[slot])) for slot in plan.slots]
    body = b"".join(
        np.ascontiguousarray(array, dtype=_FLOAT16).tobytes() for array in [*map(b.get, plan.slots), *scaled]
    )
    shapes = tuple(ArrayShape(slot=s, factor=Factor.B, rows=len(b[s]), columns=b[s].shape[1]) for s in plan.slots)
    header = UpdateHeader(
        plan_id=plan.plan_id,
        node_id=node_id,
        counter=counter,
        base=plan.base,
        rank=plan.rank,
        labels=labels,
        steps=steps,
        loss_before=loss_before,
        loss_after=loss_after,
        scores=None,
        shapes=shapes,
        body_sha256=sha256_hex(body),
        made_at=made_at,
        variant=variant,
    )
    return envelope_seal(payload=canonical_bytes(header), kind=UPDATE, key=key) + b"\n" + body


def update_read(content: bytes) -> tuple[UpdateHeader, Arrays, Arrays]:
    """Return what an update file says, unverified: its header, and by slot B (rank, d_out) and Grams (rank, rank).

    Raises:
        MalformedUpdate: no envelope line within the first 256 KiB.
        MalformedDocument, WrongKind: the line holds no update's header.
        UpdateSizeMismatch: the body is not as long as the header's arrays.
    """
    envelope, body = _split(content)
    header = parse(UpdateHeader, envelope_payload_unverified(envelope, kind=UPDATE))
    return header, *_arrays(header, body)


def update_verify(
    content: bytes,
    *,
    key: VerifyingKey,
    node_id: str,
    plan: RoundPlan,
    columns: Mapping[str, int],
    variants: Collection[str] = ("",),
) -> Update:
    """Return the update that `node_id` made for `plan`, every check passed; `columns` are the base's d_out by slot.

    `variants` are the names of the base's. In this order: signature, plan, node, base, variant, rank, labels, slots,
    shapes, size, digest, finite, Gram matrices, norm.

    Raises:
        MalformedUpdate, MalformedDocument, WrongKind, BadSignature: not an update signed by `key`.
        UpdateOfOtherPlan, UpdateOfOtherNode, UpdateOnOtherBase, UpdateVariantUnknown: it is for something else.
        UpdateRankMismatch, UpdateLabelsOutOfRange: it does not keep to the plan.
        UpdateSlotMismatch, UpdateShapeMismatch, UpdateSizeMismatch, UpdateBodyMismatch: the arrays are not the plan's.
        UpdateNotFinite, UpdateGramInvalid, UpdateNormTooLarge: the arrays' values are unusable.
    """
    envelope, body = _split(content)
    header = parse(UpdateHeader, envelope_open(envelope, kind=UPDATE, key=key))
    _judge_terms(header, node_id, plan, variants)
    _judge_shapes(header, node_id, plan, columns)
    b16, grams16 = _arrays(header, body)
    if sha256_hex(body) != header.body_sha256:
        raise UpdateBodyMismatch(node_id=node_id)
    b = {slot: array.astype(np.float32) for slot, array in b16.items()}
    grams = {slot: array.astype(np.float32) for slot, array in grams16.items()}
    norm = _judge_values(b, grams, node_id, plan)
    return Update(header=header, b=b, grams=grams, norm=norm, sha256=sha256_hex(content))


def update_norm(b: Mapping[str, NDArray[np.float32]]) -> float:
    """Return the L2 norm of all arrays of `b` taken as one vector."""
    return math.sqrt(sum(float(np.sum(np.square(array, dtype=np.float64))) for array in b.values()))


def _judge_terms(header: UpdateHeader, node_id: str, plan: RoundPlan, variants: Collection[str]) -> None:
    if header.plan_id != plan.plan_id:
        raise UpdateOfOtherPlan(node_id=node_id, expected=plan.plan_id, found=header.plan_id)
    if header.node_id != node_id:
        raise UpdateOfOtherNode(node_id=node_id, found=header.node_id)
    if header.base != plan.base:
        raise UpdateOnOtherBase(node_id=node_id, expected=plan.base, found=header.base)
    if header.variant not in variants:
        raise UpdateVariantUnknown(node_id=node_id, found=header.variant)
    if header.rank != plan.rank:
        raise UpdateRankMismatch(node_id=node_id, expected=plan.rank, found=header.rank)
    if header.labels < max(1, plan.min_labels):
        raise UpdateLabelsOutOfRange(node_id=node_id, labels=header.labels, min_labels=plan.min_labels)


def _judge_shapes(header: UpdateHeader, node_id: str, plan: RoundPlan, columns: Mapping[str, int]) -> None:
    found = tuple(shape.slot for shape in header.shapes)
    if found != plan.slots:
        _refuse_slots(found, plan.slots, node_id)
    for shape in header.shapes:
        expected = (plan.rank, columns[shape.slot])
        if (shape.rows, shape.columns) != expected:
            found_shape = (shape.rows, shape.columns)
            raise UpdateShapeMismatch(node_id=node_id, slot=shape.slot, expected=expected, found=found_shape)


def _judge_values(
    b: Mapping[str, NDArray[np.float32]], grams: Mapping[str, NDArray[np.float32]], node_id: str, plan: RoundPlan
) -> float:
    for slot in plan.slots:
        if not (np.all(np.isfinite(b[slot])) and np.all(np.isfinite(grams[slot]))):
            raise UpdateNotFinite(node_id=node_id, slot=slot)
        if not _is_gram(grams[slot]):
            raise UpdateGramInvalid(node_id=node_id, slot=slot)
    norm = update_norm(b)
    if norm > plan.max_norm * NORM_TOLERANCE:
        raise UpdateNormTooLarge(node_id=node_id, norm=round(norm, 4), max_norm=plan.max_norm)
    return norm


def _is_gram(gram: NDArray[np.float32]) -> bool:
    # Float16 moves each entry by up to 2^-11 of itself, and with it the lowest eigenvalue by up to 2^-11 of the trace.
    rank = len(gram)
    has_trace = abs(float(np.trace(gram)) - rank) <= _TRACE_TOLERANCE * rank
    return has_trace and np.array_equal(gram, gram.T) and float(np.linalg.eigvalsh(gram)[0]) >= -rank / 1024


def _refuse_slots(found: tuple[str, ...], wanted: tuple[str, ...], node_id: str) -> NoReturn:
    for slot, expected in zip(found, wanted, strict=False):
        if slot != expected:
            raise UpdateSlotMismatch(node_id=node_id, slot=expected)
    longer = max(found, wanted, key=len)
    raise UpdateSlotMismatch(node_id=node_id, slot=longer[min(len(found), len(wanted))])


def _split(content: bytes) -> tuple[bytes, bytes]:
    end = content.find(b"\n", 0, MAX_ENVELOPE_BYTES)
    if end < 0:
        raise MalformedUpdate(problem="no envelope line")
    return content[:end], content[end + 1 :]


def _arrays(header: UpdateHeader, body: bytes) -> tuple[Arrays, Arrays]:
    rank = header.rank
    wanted = [(shape.slot, (shape.rows, shape.columns)) for shape in header.shapes]
    wanted += [(shape.slot, (rank, rank)) for shape in header.shapes]
    is_possible = all(side >= 0 for _, shape in wanted for side in shape)
    expected = sum(math.prod(shape) for _, shape in wanted) * _FLOAT16.itemsize if is_possible else -1
    if len(body) != expected:
        raise UpdateSizeMismatch(node_id=header.node_id, expected_bytes=expected, found_bytes=len(body))
    arrays: list[NDArray[np.float16]] = []
    start = 0
    for _, shape in wanted:
        count = math.prod(shape)
        arrays.append(np.frombuffer(body, dtype=_FLOAT16, count=count, offset=start).reshape(shape))
        start += count * _FLOAT16.itemsize
    slots = [shape.slot for shape in header.shapes]
    return dict(zip(slots, arrays[: len(slots)], strict=True)), dict(zip(slots, arrays[len(slots) :], strict=True))
