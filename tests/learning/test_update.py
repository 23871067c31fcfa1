"""Update files: what is written is read, and whatever is wrong with one is refused by its name and the node's."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import FederationError, TrustError, WireError
from federation.learning.update import MAX_ENVELOPE_BYTES, update_read, update_verify, update_write
from federation.trust.envelopes import UPDATE, envelope_payload_unverified, envelope_seal
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import UpdateHeader
from tests.learning.plans import COLUMNS, NOW, SLOTS, small_plan

KEY = ec.generate_private_key(ec.SECP384R1())
PLAN = small_plan()


def arrays(scale: float = 0.01) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {slot: rng.normal(0, scale, (PLAN.rank, COLUMNS[slot])).astype(np.float32) for slot in SLOTS}


def grams(trace: float = 900.0) -> dict[str, np.ndarray]:
    z = np.random.default_rng(8).normal(size=(9, PLAN.rank))
    return {slot: ((z.T @ z) * (trace / np.trace(z.T @ z))).astype(np.float32) for slot in SLOTS}


def written(*, b=None, key=KEY, plan=PLAN, **fields) -> bytes:
    header = {"node_id": "school-1", "counter": 3, "labels": 2, "steps": 6, "loss_before": 3.0, "loss_after": 0.1}
    given = {"b": b or arrays(), "grams": grams()}
    return update_write(plan=plan, made_at=NOW, key=key, **(header | given | fields))


def resealed(content: bytes, *, body: bytes | None = None, **changes) -> bytes:
    """What a node with a valid key can send that does not keep to the plan."""
    envelope, _, old_body = content.partition(b"\n")
    header = parse(UpdateHeader, envelope_payload_unverified(envelope, kind=UPDATE))
    body = old_body if body is None else body
    header = replace(header, **({"body_sha256": sha256_hex(body)} | changes))
    return envelope_seal(payload=canonical_bytes(header), kind=UPDATE, key=KEY) + b"\n" + body


def verified(content: bytes, *, plan=PLAN):
    return update_verify(content, key=KEY.public_key(), node_id="school-1", plan=plan, columns=COLUMNS)


def test_a_written_update_reads_back_and_verifies_to_float16():
    b = arrays()
    content = written(b=b)
    header, halves, half_grams = update_read(content)
    update = verified(content)
    assert update.header == header
    assert (header.labels, header.counter, header.body_sha256[:4]) == (2, 3, sha256_hex(content.split(b"\n", 1)[1])[:4])
    assert update.sha256 == sha256_hex(content)
    for slot in SLOTS:
        np.testing.assert_array_equal(halves[slot], b[slot].astype(np.float16))
        np.testing.assert_array_equal(update.b[slot], b[slot].astype(np.float16).astype(np.float32))
        np.testing.assert_array_equal(update.grams[slot], half_grams[slot].astype(np.float32))
        np.testing.assert_allclose(update.grams[slot], grams(trace=PLAN.rank)[slot], rtol=2**-10, atol=1e-6)
    assert update.norm == pytest.approx(np.sqrt(sum(np.sum(array.astype(float) ** 2) for array in update.b.values())))


def refused(content: bytes, code: str, *, plan=PLAN, family: type[FederationError] = WireError) -> None:
    with pytest.raises(family) as caught:
        verified(content, plan=plan)
    assert caught.value.code == code
    assert caught.value.fields.get("node_id", "school-1") == "school-1"


def test_an_update_signed_by_another_key_is_refused():
    refused(written(key=ec.generate_private_key(ec.SECP384R1())), "bad_signature", family=TrustError)


@pytest.mark.parametrize(
    ("fields", "code", "family"),
    [
        ({"plan_id": "plan-2"}, "update_of_other_plan", TrustError),
        ({"node_id": "school-2"}, "update_of_other_node", TrustError),
        ({"base": "c" * 64}, "update_on_other_base", TrustError),
        ({"rank": 8}, "update_rank_mismatch", WireError),
        ({"labels": 0}, "update_labels_out_of_range", WireError),
        ({"body_sha256": "0" * 64}, "update_body_mismatch", TrustError),
    ],
)
def test_a_header_that_does_not_answer_the_plan_is_refused_by_name(fields, code, family):
    refused(resealed(written(), **fields), code, family=family)


def test_fewer_labels_than_the_plan_asks_for_are_refused():
    refused(written(), "update_labels_out_of_range", plan=small_plan(min_labels=3))


def test_a_missing_or_an_extra_slot_is_refused():
    fewer = small_plan(slots=SLOTS[:2])
    refused(written(plan=fewer), "update_slot_mismatch")
    refused(written(), "update_slot_mismatch", plan=fewer)
    with pytest.raises(WireError) as caught:
        written(b={SLOTS[0]: arrays()[SLOTS[0]]})
    assert caught.value.fields["slot"] == SLOTS[1]


def test_an_array_of_another_shape_is_refused():
    wrong = arrays() | {SLOTS[1]: np.zeros((PLAN.rank, 7), np.float32)}
    refused(written(b=wrong), "update_shape_mismatch")


def test_a_body_that_is_cut_or_too_long_is_refused():
    content = written()
    refused(content[:-1], "update_size_mismatch")
    refused(content + b"\0\0", "update_size_mismatch")


def test_a_changed_byte_of_the_body_is_refused():
    content = bytearray(written())
    content[-1] ^= 1
    refused(bytes(content), "update_body_mismatch", family=TrustError)


def test_nan_and_infinity_are_neither_written_nor_accepted():
    spoilt = arrays()
    spoilt[SLOTS[2]][0, 0] = np.nan
    with pytest.raises(WireError, match="update_not_finite"):
        written(b=spoilt)
    refused(resealed(written(), body=body_of(spoilt, grams(PLAN.rank))), "update_not_finite")
    spoilt = grams(PLAN.rank)
    spoilt[SLOTS[2]][1, 1] = np.inf
    refused(resealed(written(), body=body_of(arrays(), spoilt)), "update_not_finite")


def body_of(*parts: dict[str, np.ndarray]) -> bytes:
    return b"".join(np.ascontiguousarray(part[slot], np.float16).tobytes() for part in parts for slot in SLOTS)


def lopsided(gram: np.ndarray) -> np.ndarray:
    gram[0, 1] += 0.5
    return gram


@pytest.mark.parametrize(
    "spoil",
    [lopsided, lambda gram: gram * 4, lambda gram: gram * 0, lambda gram: np.diag([9.0, -3.0, -1.0, -1.0])],
    ids=["lopsided", "too large", "zero", "negative"],
)
def test_a_gram_matrix_that_is_none_is_refused(spoil):
    spoilt = grams(PLAN.rank)
    spoilt[SLOTS[1]] = spoil(spoilt[SLOTS[1]])
    refused(resealed(written(), body=body_of(arrays(), spoilt)), "update_gram_invalid")


def test_an_update_without_gram_matrices_counts_every_direction_alike():
    update = verified(written(grams=None))
    for slot in SLOTS:
        np.testing.assert_array_equal(update.grams[slot], np.eye(PLAN.rank, dtype=np.float32))


def test_an_update_beyond_the_plans_norm_is_refused():
    refused(written(b=arrays(scale=1.0)), "update_norm_too_large")


@given(st.binary(max_size=200))
def test_any_bytes_that_are_no_update_are_refused_with_a_code(content):
    with pytest.raises(FederationError):
        verified(content)


def test_an_endless_first_line_is_refused_unread():
    refused(b"{" * (MAX_ENVELOPE_BYTES + 1), "malformed_update")
