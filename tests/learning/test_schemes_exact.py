"""What each scheme combines exactly, against plain references; and what it does not, with the size of the error."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.learning.aggregate import Aggregate, aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.least_squares import LONGEST
from federation.learning.schemes.low_rank import product_cut, product_norm, product_shorten
from federation.learning.schemes.product_stack import KEPT, STACKED
from federation.learning.schemes.scheme import Fusion, Terms
from federation.wire.rounds import Factor, SchemeName
from tests.learning.contributions import (
    RANK,
    SIZES,
    TERMS,
    contribution,
    frozen,
    gram_of,
    inner,
    own_product,
    product,
)

MEAN = replace(TERMS, fusion=Fusion.MEAN)
ENDLESS = replace(TERMS, ridge=1e12)
FROZEN_A = [(SchemeName.FFA_LORA, Factor.B), (SchemeName.FED_SB, Factor.CORE)]


def combined(scheme, schools, *, terms: Terms = TERMS, max_norm: float = 1e6) -> Aggregate:
    return aggregate(schools, scheme=scheme_of(scheme), terms=terms, max_norm=max_norm, max_labels=64)


def served(scheme, result: Aggregate, slot: str) -> np.ndarray:
    return product(scheme_of(scheme).step(TERMS, None, result.delta, 1.0), slot)


def mean_of_products(scheme, schools, result: Aggregate, slot: str) -> np.ndarray:
    pairs = zip(result.shares, schools, strict=True)
    return sum(share.weight * own_product(scheme, school, slot) for share, school in pairs)


@pytest.mark.parametrize("scheme", [SchemeName.FFA_LORA, SchemeName.FED_SB])
@pytest.mark.parametrize("terms", [MEAN, ENDLESS], ids=["mean", "endless ridge"])
def test_a_frozen_basis_averages_the_served_products_exactly(scheme, terms):
    """With A (and the frozen B) shared, nothing is lost by sending and averaging what is learnt alone."""
    schools = [contribution(scheme, 1, labels=2), contribution(scheme, 2, labels=5), contribution(scheme, 3, labels=9)]
    result = combined(scheme, schools, terms=terms)
    for slot in SIZES:
        wanted = mean_of_products(scheme, schools, result, slot)
        np.testing.assert_allclose(served(scheme, result, slot), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("scheme", "factor"), FROZEN_A)
def test_least_squares_equals_a_plain_reference(scheme, factor):
    """The reference never forms a Gram matrix: it stacks every school's tokens and lets lstsq solve."""
    schools = [
        contribution(scheme, 1, labels=3),
        contribution(scheme, 2, labels=200, staleness=3),
        contribution(scheme, 3, scale=5, labels=64),
    ]
    weights = np.array([3.0, 64 / 2, 64.0])
    result = combined(scheme, schools, max_norm=2.0)
    shares = [min(1.0, 2.0 / share.norm) for share in result.shares]
    for slot in SIZES:
        rows, wanted = [], []
        for school, weight, share in zip(schools, weights, shares, strict=True):
            z = np.vstack([inner(int(school.node_id[-1]), slot), np.sqrt(TERMS.ridge) * np.eye(RANK)])
            rows.append(np.sqrt(weight) * z)
            wanted.append(np.sqrt(weight) * z @ (share * school.arrays[slot, factor].astype(np.float64)))
        reference = np.linalg.lstsq(np.vstack(rows), np.vstack(wanted), rcond=None)[0]
        # The contributions' Gram matrices were rounded to float32.
        np.testing.assert_allclose(result.delta[slot, factor], reference, rtol=1e-4, atol=1e-6)


def test_least_squares_over_cores_is_least_squares_over_the_outputs_that_they_serve():
    """A frozen B behind the core changes nothing: fusing C, then C B, is fusing C B."""
    schools = [contribution(SchemeName.FED_SB, number, labels=number) for number in (1, 2, 3)]
    result = combined(SchemeName.FED_SB, schools)
    for slot in SIZES:
        f = frozen(slot)[1]
        rows, wanted = [], []
        for school in schools:
            z = np.vstack([inner(int(school.node_id[-1]), slot), np.sqrt(TERMS.ridge) * np.eye(RANK)])
            z = np.sqrt(school.labels) * z
            rows.append(z)
            wanted.append(z @ school.arrays[slot, Factor.CORE].astype(np.float64) @ f)
        b = np.linalg.lstsq(np.vstack(rows), np.vstack(wanted), rcond=None)[0]
        np.testing.assert_allclose(served(SchemeName.FED_SB, result, slot), frozen(slot)[0] @ b, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("scheme", "factor"), FROZEN_A)
def test_two_schools_with_room_for_both_keep_what_each_learnt_on_its_own_questions(scheme, factor):
    """Two tokens each in four directions: the mean would halve both, whatever the weights."""
    tokens = {
        "school-1": np.array([[1.4, 0, 0, 0], [0, 1.4, 0, 0]]),
        "school-2": np.array([[0.9, 0, 1, 0], [0, 0, 1, 1.1]]),
    }
    schools = [contribution(scheme, 1, labels=1), contribution(scheme, 2, labels=50)]
    for school in schools:
        for slot in SIZES:
            school.arrays[slot, Factor.GRAM] = gram_of(tokens[school.node_id])
    result, mean = combined(scheme, schools, terms=replace(TERMS, ridge=1e-6)), combined(scheme, schools, terms=MEAN)
    for school in schools:
        for slot in SIZES:
            z, own = tokens[school.node_id], school.arrays[slot, factor]
            np.testing.assert_allclose(z @ result.delta[slot, factor], z @ own, rtol=1e-3, atol=1e-4)
            assert np.linalg.norm(z @ (mean.delta[slot, factor] - own)) > 0.005


@pytest.mark.parametrize(("scheme", "factor"), FROZEN_A)
def test_contradicting_schools_do_not_blow_the_fusion_up(scheme, factor):
    """Nearly the same question with opposite answers: both fit only a B that is a thousand times as long."""
    first, second = contribution(scheme, 1), contribution(scheme, 2)
    for school, sign in ((first, 1), (second, -1)):
        for slot in SIZES:
            learnt = np.zeros_like(school.arrays[slot, factor])
            learnt[0] = sign
            school.arrays[slot, factor] = learnt
            school.arrays[slot, Factor.GRAM] = gram_of(np.array([[2.0, 0.002 * sign, 0, 0]]))
    terms = replace(TERMS, ridge=1e-12)
    result = combined(scheme, [first, second], max_norm=1.0, terms=terms)
    assert result.norm == pytest.approx(LONGEST * 2.0, rel=1e-6)
    assert result.norm == pytest.approx(np.sqrt(sum(np.sum(array**2) for array in result.delta.values())))
    # A school without weight lends no length to the others.
    silent = contribution(scheme, 3, scale=100.0, labels=0)
    assert combined(scheme, [first, second, silent], max_norm=1.0, terms=terms).norm == pytest.approx(result.norm)


def test_fedit_is_wrong_by_the_covariance_of_its_two_factors_over_the_schools():
    schools = [contribution(SchemeName.FEDIT, number, labels=number) for number in (1, 2, 3)]
    result = combined(SchemeName.FEDIT, schools)
    for slot in SIZES:
        covariance = sum(
            share.weight
            * (school.arrays[slot, Factor.A] - result.delta[slot, Factor.A])
            @ (school.arrays[slot, Factor.B] - result.delta[slot, Factor.B])
            for share, school in zip(result.shares, schools, strict=True)
        )
        error = mean_of_products(SchemeName.FEDIT, schools, result, slot) - served(SchemeName.FEDIT, result, slot)
        assert np.linalg.norm(error) > 0.1
        np.testing.assert_allclose(error, covariance, rtol=1e-3, atol=1e-6)


def test_fedit_is_exact_where_schools_agree_on_a():
    first, second = contribution(SchemeName.FEDIT, 1), contribution(SchemeName.FEDIT, 2, labels=3)
    agreeing = {name: first.arrays[name] if name[1] is Factor.A else array for name, array in second.arrays.items()}
    schools = [first, replace(second, arrays=agreeing)]
    result = combined(SchemeName.FEDIT, schools)
    for slot in SIZES:
        wanted = mean_of_products(SchemeName.FEDIT, schools, result, slot)
        np.testing.assert_allclose(served(SchemeName.FEDIT, result, slot), wanted, rtol=1e-3, atol=1e-6)


def stacked(result: Aggregate, slot: str) -> np.ndarray:
    return result.delta[slot, Factor.A] @ result.delta[slot, Factor.B]


def test_flora_sums_the_products_of_differing_factors_exactly_and_cuts_them_as_an_svd_would():
    schools = [contribution(SchemeName.FLORA, number, labels=number) for number in range(1, STACKED + 1)]
    result = combined(SchemeName.FLORA, schools)
    assert result.dropped == 0
    for slot in SIZES:
        wanted = mean_of_products(SchemeName.FLORA, schools, result, slot)
        np.testing.assert_allclose(stacked(result, slot), wanted, rtol=1e-4, atol=1e-6)
        left, singular, right = np.linalg.svd(wanted)
        best = (left[:, :RANK] * singular[:RANK]) @ right[:RANK]
        np.testing.assert_allclose(served(SchemeName.FLORA, result, slot), best, rtol=1e-3, atol=1e-4)
    lengths = [np.linalg.norm(mean_of_products(SchemeName.FLORA, schools, result, slot)) for slot in SIZES]
    assert result.norm == pytest.approx(np.linalg.norm(lengths), rel=1e-5)


def test_flora_with_more_schools_than_it_stacks_is_off_by_no_more_than_it_says():
    schools = [contribution(SchemeName.FLORA, number, scale=0.5) for number in range(1, 61)]
    result = combined(SchemeName.FLORA, schools)
    errors = {
        slot: np.linalg.norm(stacked(result, slot) - mean_of_products(SchemeName.FLORA, schools, result, slot))
        for slot in SIZES
    }
    # The first slot has fewer inputs than a shortened stack has directions; the second has more on both sides.
    assert SIZES["layers.0.qkv"].d_in < KEPT * RANK < min(SIZES["layers.0.down"].d_in, SIZES["layers.0.down"].d_out)
    assert errors["layers.0.qkv"] < 1e-5
    assert 1e-3 < errors["layers.0.down"] <= result.dropped
    # What is left out is the smallest of the sum, far below what the cut to the package's rank costs.
    wanted = mean_of_products(SchemeName.FLORA, schools, result, "layers.0.down")
    beyond = np.linalg.norm(np.linalg.svd(wanted)[1][RANK:])
    assert errors["layers.0.down"] < 0.5 * beyond


@given(
    columns=st.integers(1, 30),
    d_in=st.integers(1, 20),
    d_out=st.integers(1, 20),
    rank=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60)
def test_a_cut_product_is_the_nearest_of_its_rank_and_says_what_it_lost(columns, d_in, d_out, rank, seed):
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=(d_in, columns)), draw.normal(size=(columns, d_out))
    left, right, lost = product_cut(a, b, rank)
    assert (left.shape, right.shape) == ((d_in, rank), (rank, d_out))
    singular = np.linalg.svd(a @ b)[1]
    assert lost == pytest.approx(np.linalg.norm(singular[rank:]), abs=1e-9 * max(1, singular[0]))
    assert np.linalg.norm(a @ b - left @ right) == pytest.approx(lost, abs=1e-9 * max(1, singular[0]))
    left, right, lost = product_shorten(a, b, rank)
    assert left.shape[1] == len(right) <= max(rank, 1)
    assert np.linalg.norm(a @ b - left @ right) == pytest.approx(lost, abs=1e-9 * max(1, singular[0]))
    assert lost == 0 or rank < min(columns, d_in, d_out)
    assert product_norm(a, b) == pytest.approx(np.linalg.norm(singular), rel=1e-9)
