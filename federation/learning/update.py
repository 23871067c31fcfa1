"""Write, read and judge updates: what one school learnt for one plan, signed by the school's node (protocol §6.2, 6.3).

An update is one file: an envelope of kind `update` that holds the UpdateHeader, a line feed, and the body: the arrays
that the plan's scheme names (`Scheme.shapes`), in the plan's precision (`federation.learning.update_body`). What was
learnt is a delta on the plan's start; a Gram matrix says in which directions of x A the school's own examples lie,
scaled to trace `rank`. The envelope signs the body through its SHA-256. `update_verify` judges in a fixed order,
signature first, and every refusal names the node.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from federation.basis import SlotSize
from federation.learning.gram_matrix import NoGramMatrix, gram_mend, gram_scaled
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import ArrayName, Arrays, learnt_norm
from federation.learning.update_body import LARGEST, body_read, body_size, body_write
from federation.learning.update_errors import (
    MalformedUpdate,
    UpdateBodyMismatch,
    UpdateGramInvalid,
    UpdateLabelsOutOfRange,
    UpdateNormTooLarge,
    UpdateNotFinite,
    UpdateOfOtherNode,
    UpdateOfOtherPlan,
    UpdateOnOtherBase,
    UpdateRankMismatch,
    UpdateShapeMismatch,
    UpdateSizeMismatch,
    UpdateSlotMismatch,
    UpdateVariantUnknown,
)
from federation.trust.envelopes import UPDATE, envelope_open, envelope_payload_unverified, envelope_seal
from federation.trust.keys import SigningKey, VerifyingKey
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import ArrayShape, Factor, LocalScores, Precision, RoundPlan, UpdateHeader

MAX_ENVELOPE_BYTES = 256 * 1024
NORM_TOLERANCE = 1.01
"""An honest node clips in float32; rounding then lifts a norm by well under this factor, in int8 by some 0.2%."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """An update that has passed every check."""

    header: UpdateHeader
    arrays: Arrays
    """All arrays of the plan's scheme."""
    norm: float
    """L2 norm of what was learnt."""
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
    arrays: Arrays,
    scores: LocalScores | None = None,
    variant: str = "",
    made_at: datetime,
    key: SigningKey,
) -> bytes:
    """Return the update file that `key` signs for `node_id`; `arrays` are the scheme's, deltas on the plan's start.

    A Gram matrix is symmetric, positive and not all zero; any trace, it is scaled here. Without one every direction
    counts alike. `variant` names the form of the base whose weights stood still, if it has several.

    Raises:
        UpdateSlotMismatch: an array of the scheme is missing, or one is not the scheme's.
        UpdateNotFinite: an array holds NaN, infinity, or a value that float16 cannot hold.
    """
    names = [(slot, factor) for factor in scheme_of(plan.scheme).factors for slot in plan.slots]
    ordered = {name: _array(arrays, name, plan.rank, node_id) for name in names}
    if extra := arrays.keys() - set(names):
        _refuse_array(min(extra), node_id)
    body = body_write(ordered, plan.precision)
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
        scores=scores,
        shapes=tuple(
            ArrayShape(slot=slot, factor=factor, rows=len(array), columns=array.shape[1])
            for (slot, factor), array in ordered.items()
        ),
        body_sha256=sha256_hex(body),
        made_at=made_at,
        variant=variant,
    )
    return envelope_seal(payload=canonical_bytes(header), kind=UPDATE, key=key) + b"\n" + body


def update_header(content: bytes) -> UpdateHeader:
    """Return what an update file says of itself, unverified.

    Raises:
        MalformedUpdate: no envelope line within the first 256 KiB.
        MalformedDocument, WrongKind: the line holds no update's header.
    """
    return parse(UpdateHeader, envelope_payload_unverified(_split(content)[0], kind=UPDATE))


def update_read(content: bytes, *, precision: Precision) -> tuple[UpdateHeader, Arrays]:
    """Return an update's header and arrays, unverified: for a file that was judged when it was taken in.

    Raises:
        MalformedUpdate, MalformedDocument, WrongKind: as of `update_header`.
        UpdateSizeMismatch, UpdateNotFinite, UpdateGramInvalid: the body is not the header's.
    """
    header = update_header(content)
    return header, _arrays_judged(_arrays(header, _split(content)[1], precision), header.node_id)


def update_verify(
    content: bytes,
    *,
    key: VerifyingKey,
    node_id: str,
    plan: RoundPlan,
    dimensions: Mapping[str, SlotSize],
    variants: Collection[str] = ("",),
) -> Update:
    """Return the update that `node_id` made for `plan`, every check passed; `dimensions` are the base's slots.

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
    _judge_shapes(header, node_id, scheme_of(plan.scheme).shapes(plan, dimensions))
    raw = _arrays(header, body, plan.precision)
    if sha256_hex(body) != header.body_sha256:
        raise UpdateBodyMismatch(node_id=node_id)
    arrays = _arrays_judged(raw, node_id)
    norm = learnt_norm(arrays)
    if norm > plan.max_norm * NORM_TOLERANCE:
        raise UpdateNormTooLarge(node_id=node_id, norm=round(norm, 4), max_norm=plan.max_norm)
    return Update(header=header, arrays=arrays, norm=norm, sha256=sha256_hex(content))


def _array(arrays: Arrays, name: ArrayName, rank: int, node_id: str) -> NDArray[np.float32]:
    slot, factor = name
    if name not in arrays and factor is Factor.GRAM:
        return np.eye(rank, dtype=np.float32)
    if name not in arrays:
        _refuse_array(name, node_id)
    array = arrays[name]
    if factor is Factor.GRAM and np.all(np.isfinite(array)):
        array = gram_scaled(array)
    if not np.all(np.abs(array) <= LARGEST):
        raise UpdateNotFinite(node_id=node_id, slot=slot, factor=factor.value)
    return array


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


def _judge_shapes(header: UpdateHeader, node_id: str, wanted: Sequence[ArrayShape]) -> None:
    for found, expected in zip(header.shapes, wanted, strict=False):
        if (found.slot, found.factor) != (expected.slot, expected.factor):
            _refuse_array((expected.slot, expected.factor), node_id)
    if len(header.shapes) != len(wanted):
        odd = max(header.shapes, wanted, key=len)[min(len(header.shapes), len(wanted))]
        _refuse_array((odd.slot, odd.factor), node_id)
    for found, expected in zip(header.shapes, wanted, strict=True):
        if found != expected:
            shapes = {"expected": (expected.rows, expected.columns), "found": (found.rows, found.columns)}
            raise UpdateShapeMismatch(node_id=node_id, slot=found.slot, factor=found.factor.value, **shapes)


def _refuse_array(name: ArrayName, node_id: str) -> NoReturn:
    slot, factor = name
    raise UpdateSlotMismatch(node_id=node_id, slot=slot, factor=factor.value)


def _split(content: bytes) -> tuple[bytes, bytes]:
    end = content.find(b"\n", 0, MAX_ENVELOPE_BYTES)
    if end < 0:
        raise MalformedUpdate(problem="no envelope line")
    return content[:end], content[end + 1 :]


def _arrays(header: UpdateHeader, body: bytes, precision: Precision) -> Arrays:
    expected = body_size(header.shapes, precision)
    if len(body) != expected:
        raise UpdateSizeMismatch(node_id=header.node_id, expected_bytes=expected, found_bytes=len(body))
    return body_read(body, header.shapes, precision)


def _arrays_judged(arrays: Arrays, node_id: str) -> Arrays:
    """Return `arrays`, all finite, the Gram matrices mended of their rounding."""
    for (slot, factor), array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise UpdateNotFinite(node_id=node_id, slot=slot, factor=factor.value)
    judged = {}
    for (slot, factor), array in arrays.items():
        try:
            judged[slot, factor] = gram_mend(array) if factor is Factor.GRAM else array
        except NoGramMatrix as error:
            raise UpdateGramInvalid(node_id=node_id, slot=slot) from error
    return judged
