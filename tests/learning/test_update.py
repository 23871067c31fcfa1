"""Update files: what is written is read, and whatever is wrong with one is refused by its name and the node's."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federation.errors import FederationError, TrustError, WireError
from federation.learning.aggregate import aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution, learnt_norm
from federation.learning.schemes.scheme import Fusion, terms_of
from federation.learning.update import (
    MAX_ENVELOPE_BYTES,
    NORM_TOLERANCE,
    update_header,
    update_read,
    update_verify,
    update_write,
)
from federation.learning.update_body import LARGEST, body_read, body_size, body_write
from federation.trust.envelopes import UPDATE, envelope_payload_unverified, envelope_seal
from federation.wire.canonical import canonical_bytes, parse, sha256_hex
from federation.wire.rounds import ArrayShape, Factor, LocalScores, Precision, SchemeName, UpdateHeader
from tests.learning.plans import NOW, SIZES, SLOTS, small_plan

KEY = ec.generate_private_key(ec.SECP384R1())
PLAN = small_plan()
WORDS = {"counter": 3, "labels": 2, "steps": 6, "loss_before": 3.0, "loss_after": 0.1, "made_at": NOW}
every_scheme = pytest.mark.parametrize("scheme", SchemeName)
every_precision = pytest.mark.parametrize("precision", Precision)


def arrays(plan=PLAN, *, scale: float = 0.01, seed: int = 7) -> dict[tuple[str, Factor], np.ndarray]:
    """What a school would have learnt, and Gram matrices of nine tokens with any trace."""
    rng = np.random.default_rng(seed)
    made = {}
    for shape in scheme_of(plan.scheme).shapes(plan, SIZES):
        z = rng.normal(size=(9, plan.rank))
        learnt = rng.normal(0, scale, (shape.rows, shape.columns))
        made[shape.slot, shape.factor] = (z.T @ z if shape.factor is Factor.GRAM else learnt).astype(np.float32)
    return made


def written(*, given=None, key=KEY, plan=PLAN, **fields) -> bytes:
    words = {"node_id": "school-1", "arrays": arrays(plan) if given is None else given} | WORDS
    return update_write(plan=plan, key=key, **(words | fields))


def resealed(content: bytes, *, body: bytes | None = None, **changes) -> bytes:
    """What a node with a valid key can send that does not keep to the plan."""
    envelope, _, old_body = content.partition(b"\n")
    header = parse(UpdateHeader, envelope_payload_unverified(envelope, kind=UPDATE))
    body = old_body if body is None else body
    header = replace(header, **({"body_sha256": sha256_hex(body)} | changes))
    return envelope_seal(payload=canonical_bytes(header), kind=UPDATE, key=KEY) + b"\n" + body


def verified(content: bytes, *, plan=PLAN):
    return update_verify(content, key=KEY.public_key(), node_id="school-1", plan=plan, dimensions=SIZES)


def step_of(array: np.ndarray, precision: Precision) -> np.ndarray:
    """The most by which the precision may move each number."""
    if precision is Precision.FLOAT16:
        return np.abs(array) * 2.0**-11 + 2.0**-25
    # Half a scale, which is rounded up to the next float16.
    return np.abs(array).max(axis=1, keepdims=True) / 127 / 2 * (1 + 2.0**-10) + 2.0**-25


@every_precision
@every_scheme
def test_a_written_update_reads_back_and_verifies_to_its_precision(scheme, precision):
    plan = small_plan(scheme=scheme, precision=precision)
    given = arrays(plan)
    scores = LocalScores(labels=3, nats_before=2.0, nats_after=1.5, preferred_before=0.5, preferred_after=1.0)
    content = written(given=given, plan=plan, scores=scores)
    header, read = update_read(content, precision=precision)
    update = verified(content, plan=plan)
    assert update.header == header == update_header(content)
    assert header.shapes == scheme_of(scheme).shapes(plan, SIZES)
    assert (header.labels, header.counter, header.scores) == (2, 3, scores)
    assert header.body_sha256 == sha256_hex(content.split(b"\n", 1)[1])
    assert update.sha256 == sha256_hex(content)
    assert update.arrays.keys() == given.keys()
    assert update.norm == pytest.approx(learnt_norm(given), rel=0.01)
    for (slot, factor), array in given.items():
        np.testing.assert_array_equal(update.arrays[slot, factor], read[slot, factor])
        if factor is Factor.GRAM:
            scaled = array * (plan.rank / np.trace(array))
            np.testing.assert_allclose(read[slot, factor], scaled, atol=2**-9)
        else:
            assert np.all(np.abs(read[slot, factor] - array) <= step_of(array, precision))


@every_precision
@given(
    rows=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.floats(-LARGEST, LARGEST, width=32),
    )
)
def test_no_number_moves_by_more_than_half_a_step(precision, rows):
    shape = ArrayShape(slot="s", factor=Factor.B, rows=len(rows), columns=rows.shape[1])
    body = body_write({("s", Factor.B): rows}, precision)
    assert len(body) == body_size([shape], precision)
    read = body_read(body, [shape], precision)["s", Factor.B]
    assert np.all(np.abs(read.astype(np.float64) - rows) <= step_of(rows.astype(np.float64), precision))


def test_the_bytes_of_a_body_are_those_of_the_protocol():
    """Section 6.3 spelt out by hand: a school of today and the centre of next year must agree."""
    made = {
        ("s", Factor.B): np.array([[1.0, -127.0, 0.4]], np.float32),
        ("s", Factor.GRAM): np.array([[1.5, 0.25], [0.25, 0.5]], np.float32),
    }
    gram = struct.pack("<3e", 1.5, 0.25, 0.5)
    assert body_write(made, Precision.FLOAT16) == struct.pack("<3e", 1.0, -127.0, 0.4) + gram
    assert body_write(made, Precision.INT8) == struct.pack("<e3b", 1.0, 1, -127, 0) + gram


@every_scheme
def test_a_body_is_as_long_as_its_arrays_and_int8_shorter_than_float16(scheme):
    sizes = {}
    for precision in Precision:
        plan = small_plan(scheme=scheme, precision=precision)
        shapes = scheme_of(scheme).shapes(plan, SIZES)
        rows = {
            "float16": lambda shape: shape.rows * 2 * shape.columns,
            "int8": lambda shape: shape.rows * (2 + shape.columns),
            # A symmetric matrix needs its upper triangle alone.
            "gram": lambda shape: shape.rows * (shape.rows + 1),
        }
        sizes[precision] = len(written(plan=plan).partition(b"\n")[2])
        kinds = ("gram" if shape.factor is Factor.GRAM else precision.value for shape in shapes)
        assert sizes[precision] == sum(rows[kind](shape) for kind, shape in zip(kinds, shapes, strict=True))
    assert sizes[Precision.INT8] < sizes[Precision.FLOAT16]


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
        ({"variant": "int4"}, "update_variant_unknown", TrustError),
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
    name = (SLOTS[1], Factor.B)
    with pytest.raises(WireError) as caught:
        written(given={other: array for other, array in arrays().items() if other != name})
    assert (caught.value.code, caught.value.fields["slot"]) == ("update_slot_mismatch", SLOTS[1])
    with pytest.raises(WireError) as caught:
        written(given=arrays() | {(SLOTS[1], Factor.CORE): np.zeros((4, 4), np.float32)})
    assert (caught.value.code, caught.value.fields["factor"]) == ("update_slot_mismatch", "core")


@pytest.mark.parametrize("other", [name for name in SchemeName if name is not SchemeName.FFA_LORA])
def test_the_arrays_of_another_scheme_are_refused(other):
    refused(written(plan=small_plan(scheme=other)), "update_slot_mismatch")


def test_arrays_in_another_order_are_refused_before_their_bytes_are_read():
    shapes = update_header(written()).shapes
    refused(resealed(written(), shapes=(shapes[1], shapes[0], *shapes[2:])), "update_slot_mismatch")
    refused(resealed(written(), shapes=(*shapes, shapes[0])), "update_slot_mismatch")


def test_an_array_of_another_shape_is_refused():
    wrong = arrays() | {(SLOTS[1], Factor.B): np.zeros((PLAN.rank, 7), np.float32)}
    refused(written(given=wrong), "update_shape_mismatch")


def test_the_other_precision_is_refused_by_its_size():
    refused(written(plan=small_plan(precision=Precision.INT8)), "update_size_mismatch")


@every_precision
def test_a_body_that_is_cut_or_too_long_is_refused(precision):
    plan = small_plan(precision=precision)
    content = written(plan=plan)
    refused(content[:-1], "update_size_mismatch", plan=plan)
    refused(content + b"\0\0", "update_size_mismatch", plan=plan)


def test_a_shape_that_no_array_can_have_is_refused_unread():
    for rows, columns in ((-1, 4), (4, -1), (2**62, 2**62)):
        odd = ArrayShape(slot=SLOTS[0], factor=Factor.B, rows=rows, columns=columns)
        with pytest.raises(WireError, match="update_size_mismatch"):
            update_read(resealed(written(), shapes=(odd,)), precision=PLAN.precision)


def test_a_changed_byte_of_the_body_is_refused():
    content = bytearray(written())
    content[-1] ^= 1
    refused(bytes(content), "update_body_mismatch", family=TrustError)


def spoilt(name: tuple[str, Factor], value: float) -> dict[tuple[str, Factor], np.ndarray]:
    made = arrays()
    made[name][1, 1] = value
    return made


def body_of(made: dict[tuple[str, Factor], np.ndarray]) -> bytes:
    """A body as no honest node writes it: nothing is scaled or looked at."""
    return body_write(made, Precision.FLOAT16)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("factor", [Factor.B, Factor.GRAM])
def test_nan_and_infinity_are_not_accepted(factor, value):
    sent = resealed(written(), body=body_of(spoilt((SLOTS[2], factor), value)))
    refused(sent, "update_not_finite")
    with pytest.raises(WireError, match="update_not_finite"):
        update_read(sent, precision=PLAN.precision)


@pytest.mark.parametrize(
    ("factor", "value"),
    [(Factor.B, np.nan), (Factor.B, np.inf), (Factor.B, 65536.0), (Factor.GRAM, np.nan), (Factor.GRAM, np.inf)],
)
def test_what_float16_cannot_hold_is_not_written(factor, value):
    with pytest.raises(WireError, match="update_not_finite"):
        written(given=spoilt((SLOTS[2], factor), value))


@pytest.mark.parametrize("scale", [b"\x00\x7c", b"\x00\xfc", b"\x00\x7e"], ids=["infinite", "minus infinite", "nan"])
def test_a_scale_that_is_no_number_is_refused(scale):
    plan = small_plan(precision=Precision.INT8)
    content = written(plan=plan)
    body = scale + content.partition(b"\n")[2][2:]
    refused(resealed(content, body=body), "update_not_finite", plan=plan)


@pytest.mark.parametrize(
    "spoil",
    [lambda gram: gram * 4, lambda gram: gram * 0, lambda gram: np.diag([9.0, -3.0, -1.0, -1.0])],
    ids=["too large", "zero", "negative"],
)
def test_a_gram_matrix_that_is_none_is_refused(spoil):
    made = verified(written()).arrays
    name = (SLOTS[1], Factor.GRAM)
    refused(resealed(written(), body=body_of({**made, name: spoil(made[name].copy())})), "update_gram_invalid")


def test_a_gram_matrix_that_is_not_square_is_refused():
    odd = ArrayShape(slot=SLOTS[0], factor=Factor.GRAM, rows=2, columns=3)
    with pytest.raises(WireError, match="update_size_mismatch"):
        update_read(resealed(written(), shapes=(odd,), body=bytes(6)), precision=PLAN.precision)


def test_an_update_without_gram_matrices_counts_every_direction_alike():
    given = {(slot, factor): array for (slot, factor), array in arrays().items() if factor is Factor.B}
    update = verified(written(given=given))
    for slot in SLOTS:
        np.testing.assert_array_equal(update.arrays[slot, Factor.GRAM], np.eye(PLAN.rank, dtype=np.float32))


@every_precision
@pytest.mark.parametrize("tokens", [1, 3, 200])
def test_gram_matrices_of_any_rank_survive_the_rounding_positive_and_of_trace_rank(precision, tokens):
    """With one token 63 of 64 eigenvalues are 0, which rounding makes negative; what is inverted must not be."""
    plan = small_plan(rank=64, precision=precision)
    draw = np.random.default_rng(tokens)
    given = arrays(plan)
    for slot in SLOTS:
        z = draw.normal(size=(tokens, 64)) * draw.lognormal(size=64)
        given[slot, Factor.GRAM] = (z.T @ z).astype(np.float32)
    update = verified(written(given=given, plan=plan), plan=plan)
    for slot in SLOTS:
        gram = update.arrays[slot, Factor.GRAM]
        np.testing.assert_array_equal(gram, gram.T)
        assert np.trace(gram, dtype=np.float64) == pytest.approx(64, rel=1e-5)
        assert np.linalg.eigvalsh(gram.astype(np.float64))[0] > -1e-4


def test_int8_costs_the_fusion_no_more_than_it_costs_what_was_learnt():
    """Least squares inverts the Gram matrices: rounded like the rest they put it 2% off where the rest is 0.5% off."""
    plan = small_plan(rank=64, precision=Precision.INT8)
    schools = [_heavy_tailed(plan, seed) for seed in range(5)]
    received = [update_read(written(given=given, plan=plan), precision=plan.precision)[1] for given in schools]
    off = {fusion: _distance(_fused(plan, received, fusion), _fused(plan, schools, fusion)) for fusion in Fusion}
    assert 0.003 < off[Fusion.MEAN] < 0.01
    assert off[Fusion.LEAST_SQUARES] < 1.3 * off[Fusion.MEAN]


def _heavy_tailed(plan, seed):
    """A school whose tokens lie in few directions, as a model's do; its Gram matrices have trace rank."""
    draw, given = np.random.default_rng(seed), arrays(plan, seed=seed)
    for slot in SLOTS:
        turned = np.linalg.qr(draw.normal(size=(64, 64)))[0]
        z = draw.normal(size=(60, 64)) * draw.lognormal(size=64) @ turned
        given[slot, Factor.GRAM] = (z.T @ z * (64 / np.sum(z**2))).astype(np.float32)
    return given


def _fused(plan, schools, fusion):
    contributions = [
        Contribution(node_id=str(number), labels=1, staleness=0, arrays=each) for number, each in enumerate(schools)
    ]
    terms = terms_of(plan, SIZES, fusion)
    return aggregate(contributions, scheme=scheme_of(plan.scheme), terms=terms, max_norm=1e6, max_labels=64).delta


def _distance(found, wanted) -> float:
    return learnt_norm({name: found[name] - array for name, array in wanted.items()}) / learnt_norm(wanted)


@every_scheme
def test_an_update_beyond_the_plans_norm_is_refused(scheme):
    plan = small_plan(scheme=scheme)
    refused(written(given=arrays(plan, scale=1.0), plan=plan), "update_norm_too_large", plan=plan)


@every_precision
@every_scheme
def test_an_update_clipped_to_the_plans_norm_is_never_refused_for_its_rounding(scheme, precision):
    plan = small_plan(scheme=scheme, precision=precision)
    for seed in range(20):
        given = arrays(plan, scale=1.0, seed=seed)
        share = plan.max_norm / learnt_norm(given)
        clipped = {(s, f): a if f is Factor.GRAM else a * np.float32(share) for (s, f), a in given.items()}
        assert verified(written(given=clipped, plan=plan), plan=plan).norm <= plan.max_norm * NORM_TOLERANCE


@given(st.binary(max_size=200))
def test_any_bytes_that_are_no_update_are_refused_with_a_code(content):
    for read in (verified, update_header, lambda content: update_read(content, precision=Precision.INT8)):
        with pytest.raises(FederationError):
            read(content)


@every_precision
@given(body=st.binary(max_size=400), data=st.data())
def test_any_body_under_any_honest_shape_is_an_update_or_refused_with_a_code(precision, body, data):
    """A node with a valid key may send whatever it likes behind a header that looks right."""
    plan = small_plan(scheme=data.draw(st.sampled_from(SchemeName)), slots=SLOTS[:1], rank=2, precision=precision)
    content = written(plan=plan)
    length = len(content.partition(b"\n")[2])
    sent = resealed(content, body=(body * (length // max(1, len(body)) + 1))[:length])
    try:
        update = verified(sent, plan=plan)
    except WireError:
        return
    assert all(np.all(np.isfinite(array)) for array in update.arrays.values())
    assert update.norm <= plan.max_norm * NORM_TOLERANCE


def test_an_endless_first_line_is_refused_unread():
    refused(b"{" * (MAX_ENVELOPE_BYTES + 1), "malformed_update")
