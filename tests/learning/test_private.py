"""Private mode: the noise is what is stated, the bound holds, ε is a closed form's; what cannot hold it is refused."""

import dataclasses
import math
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.learning.modes.accounting import epsilon_spent, spending_after
from federation.learning.modes.mode import (
    Mode,
    ModesExclude,
    ModeTermsInvalid,
    PrivateTerms,
    RobustRule,
    RobustTerms,
    SchemeNotForMode,
    SchoolTwiceInRound,
    mode_judge,
)
from federation.learning.modes.private import (
    PrivateOutcome,
    noise_generator,
    noise_seed,
    private_delta,
)
from federation.learning.schemes.scheme import Fusion, NothingToAggregate
from federation.wire.rounds import SchemeName
from tests.learning.mode_contributions import SIZES, Watched, accumulator, constant, flat, school, shapes

TERMS = PrivateTerms(noise_multiplier=1.0, labels_expected=100.0)
MAX_NORM, MAX_LABELS = 0.5, 64


def noised(schools, *, terms=TERMS, seed=1, max_norm=MAX_NORM, school_by_node=None) -> PrivateOutcome:
    return private_delta(
        schools,
        school_by_node=school_by_node or {each.node_id: each.node_id for each in schools},
        shapes=shapes(),
        terms=terms,
        max_norm=max_norm,
        max_labels=MAX_LABELS,
        rng=np.random.default_rng(seed),
    )


def without_noise(schools, *, max_norm=MAX_NORM) -> np.ndarray:
    """The clipped and weighted sum: the same noise on nothing is taken away."""
    nothing = [constant(each.node_id, 0.0) for each in schools]
    return flat(noised(schools, max_norm=max_norm).delta) - flat(noised(nothing, max_norm=max_norm).delta)


def test_the_noise_has_the_stated_standard_deviation_and_no_mean():
    terms = dataclasses.replace(TERMS, noise_multiplier=2.0)
    draws = np.concatenate([flat(noised([constant("a", 0.0)], terms=terms, seed=n).delta) for n in range(2000)])
    sigma = 2.0 * MAX_LABELS * MAX_NORM / 100.0
    assert noised([constant("a", 0.0)], terms=terms).sigma == pytest.approx(sigma)
    # 144,000 draws: five standard errors of a deviation and of a mean.
    assert np.std(draws) == pytest.approx(sigma, rel=5 / math.sqrt(2 * draws.size))
    assert abs(np.mean(draws)) < 5 * sigma / math.sqrt(draws.size)
    fourth = np.mean((draws / sigma) ** 4)
    assert fourth == pytest.approx(3.0, abs=5 * math.sqrt(96 / draws.size))


def test_without_its_noise_the_sum_is_the_clipped_and_weighted_one():
    schools = [school(1, labels=10), school(2, labels=500, staleness=3), school(3, labels=7, factor=200.0)]
    weights = np.array([10.0, 64.0 / 2.0, 7.0])
    shares = [min(1.0, MAX_NORM / np.linalg.norm(flat(each.arrays))) for each in schools]
    assert shares[2] < 1.0
    expected = sum(w * s * flat(each.arrays) for w, s, each in zip(weights, shares, schools, strict=True)) / 100.0
    np.testing.assert_allclose(without_noise(schools), expected, rtol=1e-5, atol=1e-8)


def test_it_is_the_schemes_own_mean_where_the_expected_labels_came():
    schools = [school(number, labels=10) for number in range(10)]
    plain = accumulator()
    for each in schools:
        plain.add(each, 10.0)
    np.testing.assert_allclose(without_noise(schools), flat(plain.result()), rtol=1e-4, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(0, 10_000),
    st.integers(0, 50),
    st.floats(1e-3, 1e6),
    st.floats(0.01, 10.0),
)
def test_no_school_moves_the_sum_by_more_than_the_noise_was_made_for(number, labels, staleness, factor, max_norm):
    others = [school(1), school(2)]
    one = dataclasses.replace(school(number, factor=factor), node_id="one", labels=labels, staleness=staleness)
    nothing = dataclasses.replace(constant("one", 0.0), labels=labels, staleness=staleness)
    with_it = noised([*others, one], max_norm=max_norm)
    without_it = noised([*others, nothing], max_norm=max_norm)
    moved = np.linalg.norm(flat(with_it.delta) - flat(without_it.delta))
    most = with_it.sigma / TERMS.noise_multiplier
    # Both sums carry noise of some tens of the bound in float64.
    assert moved <= most * (1 + 1e-9)


def test_a_combining_that_is_done_anew_draws_the_same_noise_and_other_updates_draw_other_noise():
    seed, counted = noise_seed(), ["d1", "d2", "d3"]

    def drawn(seed_, digests):
        return noise_generator(seed_, counted=digests).normal(size=4).tolist()

    assert drawn(seed, counted) == drawn(seed, counted[::-1])
    assert len({tuple(drawn(*case)) for case in [(seed, counted), (seed, counted[:2]), (noise_seed(), counted)]}) == 3


def test_only_one_contribution_is_in_memory_at_a_time():
    alive = weakref.WeakSet()

    def read():
        for number in range(50):
            each = school(number)
            arrays = {name: array.view(Watched) for name, array in each.arrays.items()}
            alive.update(arrays.values())
            assert len(alive) <= 2 * len(arrays)
            yield dataclasses.replace(each, arrays=arrays)
            del each, arrays

    noised(read(), school_by_node={f"node-{number:03}": str(number) for number in range(50)})


def test_a_second_update_of_a_school_is_refused_by_name():
    """Two PCs of one school would move the sum twice as far as the noise was made for."""
    schools = [school(1), school(2), school(3)]
    homes = {"node-001": "Мактаби №1", "node-002": "Мактаби №2", "node-003": "Мактаби №1"}
    with pytest.raises(SchoolTwiceInRound) as refused:
        noised(schools, school_by_node=homes)
    assert refused.value.fields == {"school": "Мактаби №1"}
    with pytest.raises(NothingToAggregate):
        noised([])


def test_gram_matrices_do_not_travel_into_what_is_released():
    assert {slot for slot, _ in noised([school(1)]).delta} == set(SIZES)
    assert len(noised([school(1)]).delta) == len(SIZES)


def epsilon_closed(noise_multipliers, delta: float) -> float:
    """ε of composed Gaussians: as one with μ² = Σ 1/z², from δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ), by halving.

    Source: Balle and Wang 2018, theorem 8; Dong, Roth and Su 2022, corollary 3.3.
    """

    def normal(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    mu = math.sqrt(sum(1 / z**2 for z in noise_multipliers))
    low, high = 0.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        reached = normal(mu / 2 - middle / mu) - math.exp(middle) * normal(-mu / 2 - middle / mu)
        low, high = (middle, high) if reached > delta else (low, middle)
    return high


@pytest.mark.parametrize("history", [[1.0], [2.0] * 4, [0.7, 3.0, 1.1], [4.0] * 12, [1.0] * 4])
def test_epsilon_is_that_of_the_closed_form(history):
    assert epsilon_spent(history, delta=1e-5) == pytest.approx(epsilon_closed(history, 1e-5), rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.99])
def test_the_noise_of_the_textbook_is_enough(epsilon):
    """Dwork and Roth 2014, theorem A.1: z = sqrt(2 ln(1.25 / δ)) / ε keeps ε < 1; the exact figure is a little less."""
    classic = math.sqrt(2 * math.log(1.25 / 1e-5)) / epsilon
    assert 0.6 * epsilon < epsilon_spent([classic], delta=1e-5) < epsilon


def test_the_order_of_rounds_does_not_matter_and_none_costs_nothing():
    assert epsilon_spent([1.0, 2.0, 2.0], delta=1e-5) == epsilon_spent([2.0, 1.0, 2.0], delta=1e-5)
    assert epsilon_spent([], delta=1e-5) == 0.0


def test_a_school_is_within_its_budget_until_one_more_round_would_pass_it():
    terms = dataclasses.replace(TERMS, noise_multiplier=2.0, budget=4.4)
    assert [spending_after([2.0] * rounds, terms=terms).is_within for rounds in range(5)] == [True] * 4 + [False]
    assert spending_after([2.0] * 3, terms=terms).epsilon_next == pytest.approx(4.377, abs=1e-3)
    assert not spending_after([], terms=dataclasses.replace(terms, budget=1.9)).is_within


@pytest.mark.parametrize("scheme", SchemeName)
@pytest.mark.parametrize("fusion", Fusion)
def test_only_a_linear_scheme_with_a_mean_may_be_private(scheme, fusion):
    def judge():
        mode_judge(Mode.PRIVATE, scheme=scheme, fusion=fusion, robust=None, private=TERMS)

    if scheme in (SchemeName.FFA_LORA, SchemeName.FED_SB) and fusion is Fusion.MEAN:
        judge()
    else:
        with pytest.raises(SchemeNotForMode):
            judge()


@pytest.mark.parametrize("rule", RobustRule)
def test_flora_goes_only_with_rules_that_choose_whole_updates(rule):
    def judge(scheme):
        robust = RobustTerms(rule=rule)
        mode_judge(Mode.ROBUST, scheme=scheme, fusion=Fusion.LEAST_SQUARES, robust=robust, private=None)

    judge(SchemeName.FFA_LORA)
    judge(SchemeName.FEDIT)
    if rule.is_by_coordinate:
        with pytest.raises(SchemeNotForMode):
            judge(SchemeName.FLORA)
    else:
        judge(SchemeName.FLORA)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("robust", [None, RobustTerms()])
@pytest.mark.parametrize("private", [None, TERMS])
def test_robust_and_private_are_never_claimed_together(mode, robust, private):
    fits = {(Mode.PLAIN, None, None), (Mode.ROBUST, RobustTerms(), None), (Mode.PRIVATE, None, TERMS)}
    terms = {"scheme": SchemeName.FFA_LORA, "fusion": Fusion.MEAN, "robust": robust, "private": private}
    if (mode, robust, private) in fits:
        mode_judge(mode, **terms)
    else:
        with pytest.raises(ModesExclude):
            mode_judge(mode, **terms)


@pytest.mark.parametrize(
    ("field", "value"),
    [("noise_multiplier", 0.0), ("labels_expected", 0.0), ("budget", float("nan")), ("delta", 0.01), ("delta", 0.0)],
)
def test_terms_that_promise_nothing_are_refused(field, value):
    with pytest.raises(ModeTermsInvalid) as refused:
        dataclasses.replace(TERMS, **{field: value})
    assert refused.value.fields["field"] == field


def test_one_schools_pull_on_the_fusion_by_least_squares_does_not_shrink_with_the_number_of_schools():
    """Why the private mode refuses it: under the mean the pull is 1/n, here it stays."""

    def pull(count: int, fusion: Fusion) -> float:
        moved = []
        for value in (0.0, 0.1):
            total = accumulator(fusion=fusion)
            for number in range(count):
                each = constant(f"node-{number:03}", value if number == 0 else 0.0)
                where = [0.0, 0.0, 0.0, 4.0] if number == 0 else [4 / 3, 4 / 3, 4 / 3, 0.0]
                arrays = {
                    name: np.diag(where).astype(np.float32) if name[1].value == "gram" else array
                    for name, array in each.arrays.items()
                }
                total.add(dataclasses.replace(each, arrays=arrays), 1.0)
            moved.append(flat(total.result()))
        return float(np.linalg.norm(moved[1] - moved[0]))

    assert pull(40, Fusion.MEAN) == pytest.approx(pull(4, Fusion.MEAN) / 10, rel=1e-5)
    assert pull(40, Fusion.LEAST_SQUARES) > 0.5 * pull(4, Fusion.LEAST_SQUARES)
