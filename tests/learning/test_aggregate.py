"""Aggregation: the least-squares fusion that it says it is, exact for FFA-LoRA; it names an unusable contribution."""

import numpy as np
import pytest

from federation.basis import frozen_a
from federation.errors import WireError
from federation.learning.aggregate import LONGEST, RIDGE, Aggregate, Contribution, aggregate

RANK = 4
SHAPES = {"layers.0.qkv": (RANK, 12), "layers.0.down": (RANK, 6)}
ENDLESS = 1e12


def inner(number: int, slot: str, tokens: int = 7) -> np.ndarray:
    """A school's z = x A, scaled so that its Gram matrix has trace rank."""
    z = np.random.default_rng([number, len(slot)]).normal(size=(tokens, RANK))
    return z * np.sqrt(RANK / np.sum(z**2))


def contribution(
    number: int, *, scale: float = 0.1, labels: int = 1, staleness: int = 0, tokens: int = 7
) -> Contribution:
    rng = np.random.default_rng(number)
    b = {slot: rng.normal(0, scale, shape).astype(np.float32) for slot, shape in SHAPES.items()}
    grams = {slot: gram_of(inner(number, slot, tokens)) for slot in SHAPES}
    return Contribution(node_id=f"school-{number}", labels=labels, staleness=staleness, b=b, grams=grams)


def gram_of(z: np.ndarray) -> np.ndarray:
    return (z.T @ z).astype(np.float32)


def fused(schools, *, max_norm: float = 100.0, max_labels: int = 64, **terms) -> Aggregate:
    return aggregate(schools, max_norm=max_norm, max_labels=max_labels, **terms)


def flat(b) -> np.ndarray:
    return np.concatenate([np.asarray(b[slot], dtype=np.float64).ravel() for slot in SHAPES])


def test_the_aggregate_equals_a_plain_least_squares_reference():
    """The reference never forms a Gram matrix: it stacks every school's tokens and lets lstsq solve."""
    schools = [contribution(1, labels=3), contribution(2, labels=200, staleness=3), contribution(3, scale=5, labels=64)]
    weights = np.array([3.0, 64 / 2, 64.0])
    weights /= weights.sum()
    shares = [min(1.0, 2.0 / np.linalg.norm(flat(school.b))) for school in schools]

    result = fused(schools, max_norm=2.0)

    np.testing.assert_allclose(result.weights, weights, rtol=1e-12)
    for slot in SHAPES:
        rows, wanted = [], []
        for school, weight, share in zip(schools, weights, shares, strict=True):
            z = np.vstack([inner(int(school.node_id[-1]), slot), np.sqrt(RIDGE) * np.eye(RANK)])
            rows.append(np.sqrt(weight) * z)
            wanted.append(np.sqrt(weight) * z @ (share * school.b[slot].astype(np.float64)))
        reference = np.linalg.lstsq(np.vstack(rows), np.vstack(wanted), rcond=None)[0]
        # The contributions' Gram matrices were rounded to float32.
        np.testing.assert_allclose(result.b[slot], reference, rtol=1e-4, atol=1e-6)


def test_with_an_endless_ridge_averaging_b_equals_averaging_the_products_a_b():
    """FFA-LoRA's exactness: with A shared and frozen, nothing is lost by sending and averaging B alone."""
    schools = [contribution(1, labels=2), contribution(2, labels=5)]
    result = fused(schools, ridge=ENDLESS)
    for slot in SHAPES:
        a = frozen_a(seed="autumn", slot=slot, d_in=16, rank=RANK).astype(np.float64)
        products = sum(w * (a @ s.b[slot].astype(np.float64)) for w, s in zip(result.weights, schools, strict=True))
        np.testing.assert_allclose(a @ result.b[slot], products, rtol=1e-5, atol=1e-7)


def test_two_schools_with_room_for_both_keep_what_each_learnt_on_its_own_questions():
    """Two tokens each in four directions: the mean would halve both, whatever the weights."""
    tokens = {
        "school-1": np.array([[1.4, 0, 0, 0], [0, 1.4, 0, 0]]),
        "school-2": np.array([[0.9, 0, 1, 0], [0, 0, 1, 1.1]]),
    }
    schools = [contribution(1, labels=1), contribution(2, labels=50)]
    for school in schools:
        for slot in SHAPES:
            school.grams[slot] = gram_of(tokens[school.node_id])
    result = fused(schools, ridge=1e-6)
    mean = fused(schools, ridge=ENDLESS)
    for school in schools:
        for slot in SHAPES:
            z = tokens[school.node_id]
            np.testing.assert_allclose(z @ result.b[slot], z @ school.b[slot], rtol=1e-3, atol=1e-4)
            assert np.linalg.norm(z @ (mean.b[slot] - school.b[slot])) > 0.01


def test_the_server_scale_multiplies_the_fusion():
    schools = [contribution(1), contribution(2)]
    np.testing.assert_allclose(flat(fused(schools, server_scale=0.5).b), 0.5 * flat(fused(schools).b), rtol=1e-6)


def test_contradicting_schools_do_not_blow_the_fusion_up():
    schools = [contribution(number, tokens=2, scale=1.0) for number in range(1, 6)]
    result = fused(schools, max_norm=1.0, ridge=1e-9)
    assert result.norm == pytest.approx(np.linalg.norm(flat(result.b)), rel=1e-5)
    assert result.norm <= LONGEST * 5.0 * (1 + 1e-9)


def test_a_school_beyond_the_norm_pulls_no_further_than_the_norm():
    result = fused([contribution(1, scale=100)], max_norm=0.5)
    assert np.linalg.norm(flat(result.b)) == pytest.approx(0.5, rel=1e-6)
    assert result.norms[0] > 100


def test_the_order_of_schools_does_not_change_the_result():
    schools = [contribution(n, labels=n) for n in (1, 2, 3)]
    np.testing.assert_allclose(flat(fused(schools).b), flat(fused(schools[::-1]).b), rtol=1e-5, atol=1e-8)


def spoilt(kind: str) -> Contribution:
    school = contribution(9)
    fields = {"node_id": "school-9", "labels": 1, "staleness": 0, "b": dict(school.b), "grams": dict(school.grams)}
    if kind == "missing":
        del fields["b"]["layers.0.down"]
    elif kind == "no gram":
        del fields["grams"]["layers.0.down"]
    elif kind == "shape":
        fields["b"]["layers.0.down"] = np.zeros((RANK, 7), np.float32)
    elif kind == "nan":
        fields["b"]["layers.0.down"][0, 0] = np.nan
    elif kind == "infinite gram":
        fields["grams"]["layers.0.down"][0, 0] = np.inf
    else:
        fields["labels"] = -1
    return Contribution(**fields)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "contribution_mismatch"),
        ("no gram", "contribution_mismatch"),
        ("shape", "contribution_mismatch"),
        ("nan", "contribution_not_finite"),
        ("infinite gram", "contribution_not_finite"),
        ("labels", "contribution_unweighable"),
    ],
)
def test_an_unusable_contribution_is_refused_by_its_nodes_name(kind, code):
    with pytest.raises(WireError) as caught:
        fused([contribution(1), spoilt(kind)])
    assert (caught.value.code, caught.value.fields["node_id"]) == (code, "school-9")


def test_an_aggregation_without_weight_is_refused():
    for nobody in ([], [contribution(1, labels=0)]):
        with pytest.raises(WireError, match="nothing_to_aggregate"):
            fused(nobody)
