"""Robust mode: a foreseen minority moves the result little, whatever it sends; every region is heard."""

import dataclasses

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedMedian, Krum, MultiKrum
from flwr.supercore.task_identity import TaskIdentity
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import WireError
from federation.learning.modes.coordinates import median_trim, trimmed_at_each_end, trimmed_mean
from federation.learning.modes.mode import ModeTermsInvalid, RobustRule, RobustTerms, SchoolTwiceInRound
from federation.learning.modes.regions import TooFewToBeRobust, regions_pool
from federation.learning.modes.robust import RobustOutcome, robust_delta
from federation.learning.schemes.scheme import Fusion
from federation.wire.rounds import Factor
from tests.learning.mode_contributions import SIZES, ArraysOnDisk, accumulator, constant, flat, school

SCHOOLS = 20
ATTACKERS = 4
BY_RULE = pytest.mark.parametrize("rule", RobustRule)
BY_COORDINATE = pytest.mark.parametrize("rule", [RobustRule.TRIMMED_MEAN, RobustRule.MEDIAN])


def combined(
    schools,
    *,
    rule=RobustRule.TRIMMED_MEAN,
    regions=None,
    max_norm=1.0,
    fusion=Fusion.MEAN,
    fewest=5,
    share=0.2,
) -> RobustOutcome:
    return robust_delta(
        schools,
        region_by_node={each.node_id: (regions or {}).get(each.node_id, "Суғд") for each in schools},
        terms=RobustTerms(rule=rule, share=share, fewest=fewest),
        max_norm=max_norm,
        max_labels=64,
        accumulator=accumulator(fusion=fusion),
    )


def honest_schools(count: int = SCHOOLS):
    return [school(number) for number in range(count)]


def mean_of(schools) -> np.ndarray:
    return np.mean([flat(each.arrays) for each in schools], axis=0)


def against(number: int, factor: float):
    """A school that sends what it would have sent, sign-flipped and `factor` times as long."""
    return school(number, factor=-factor)


@settings(deadline=None)
@given(
    st.lists(st.floats(-1.0, 1.0, width=32), min_size=5, max_size=25),
    st.lists(st.floats(-(2.0**100), 2.0**100, width=32), max_size=25),
)
def test_no_foreseen_minority_leaves_the_range_of_what_honest_schools_sent(honest, poison):
    trimmed = trimmed_at_each_end(len(honest) + len(poison), share=0.2)
    poison = poison[:trimmed]
    trimmed = trimmed_at_each_end(len(honest) + len(poison), share=0.2)
    values = np.array([[value] for value in honest + poison[:trimmed]], dtype=np.float32)

    result = trimmed_mean(values, trimmed=trimmed)[0]

    # Adding equal numbers and dividing by their count may miss them by a rounding of float32.
    margin = 1e-6 * max(map(abs, honest))
    assert min(honest) - margin <= result <= max(honest) + margin


@settings(deadline=None)
@given(st.integers(1, 4000), st.floats(0.01, 0.49))
def test_at_least_the_foreseen_share_is_left_out_at_either_end_and_something_stays(schools, share):
    trimmed = trimmed_at_each_end(schools, share=share)
    assert schools - 2 * trimmed >= 1
    assert trimmed == median_trim(schools) or trimmed >= share * schools - 1e-6
    assert trimmed_at_each_end(15, share=0.2) == 3


@BY_RULE
def test_four_of_twenty_that_send_their_update_flipped_and_a_hundredfold_move_the_result_little(rule):
    """As a share of the honest mean's length, which the plain mean under the same attack misses by many times."""
    honest = honest_schools(SCHOOLS - ATTACKERS)
    attacked = [*honest, *(against(100 + number, 100.0) for number in range(ATTACKERS))]
    reference = mean_of(honest)

    result = flat(combined(attacked, rule=rule).delta)

    plain = mean_of(attacked)
    assert np.linalg.norm(plain - reference) > 10 * np.linalg.norm(reference)
    # Krum's result is one school's update, which differs from the mean by what that school has of its own.
    most = {RobustRule.KRUM: 1.1, RobustRule.MULTI_KRUM: 0.01}.get(rule, 0.35)
    assert np.linalg.norm(result - reference) < most * np.linalg.norm(reference)


@BY_RULE
def test_four_of_twenty_colluding_within_the_honest_length_move_the_result_little(rule):
    """They all send the same small vector against the honest direction, so no length gives them away."""
    honest = honest_schools(SCHOOLS - ATTACKERS)
    reference = mean_of(honest)
    poison = school(500, factor=-0.5, spread=0.0)
    colluding = [dataclasses.replace(poison, node_id=f"node-9{number}") for number in range(ATTACKERS)]

    result = flat(combined([*honest, *colluding], rule=rule).delta)

    moved = np.linalg.norm(result - reference) / np.linalg.norm(reference)
    if rule in (RobustRule.KRUM, RobustRule.MULTI_KRUM):
        # Whoever agrees with each other to the last bit is the most central: what quarantine looks for by twins.
        assert moved < 2.0
    else:
        assert moved < 0.5


@BY_COORDINATE
def test_among_honest_schools_the_result_is_close_to_the_mean(rule):
    schools = honest_schools(200)
    reference = mean_of(schools)
    result = flat(combined(schools, rule=rule).delta)
    # The standard error of a median of 200 is 9% of a school's own part, which is as long as the common one.
    assert np.linalg.norm(result - reference) < 0.12 * np.linalg.norm(reference)


@BY_RULE
@pytest.mark.parametrize("fusion", Fusion)
def test_the_order_in_which_updates_came_changes_no_bit(rule, fusion):
    schools = honest_schools(17)
    regions = {each.node_id: "Хатлон" for each in schools[:8]}
    first = combined(schools, rule=rule, regions=regions, fusion=fusion)
    again = combined(schools[::-1], rule=rule, regions=regions, fusion=fusion)
    assert first.pools == again.pools
    np.testing.assert_array_equal(flat(first.delta), flat(again.delta))


@BY_RULE
def test_schools_that_send_the_same_give_the_same_back(rule):
    result = combined([constant(f"node-{number}", 0.01) for number in range(6)], rule=rule)
    np.testing.assert_allclose(flat(result.delta), 0.01, rtol=1e-6)


def test_an_update_longer_than_the_plans_norm_is_clipped_and_named():
    schools = [*honest_schools(5), school(77, factor=50.0)]
    outcome = combined(schools, max_norm=0.2, rule=RobustRule.MULTI_KRUM, share=0.01, fewest=3)
    assert outcome.pools[0].clipped == ("node-077",)
    assert np.linalg.norm(flat(outcome.delta)) <= 0.2


def messages_of(schools) -> list[Message]:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    asked = [Message(RecordDict(), dst_node_id=place + 1, message_type="train") for place in range(len(schools))]
    return [
        Message(
            RecordDict(
                {
                    "arrays": ArrayRecord({slot: Array(np.array(each.arrays[slot, Factor.B])) for slot in SIZES}),
                    "metrics": MetricRecord({"num-examples": 1}),
                }
            ),
            reply_to=message,
        )
        for each, message in zip(schools, asked, strict=True)
    ]


@pytest.mark.parametrize(
    ("rule", "strategy"),
    [
        (RobustRule.MEDIAN, FedMedian()),
        (RobustRule.KRUM, Krum(num_malicious_nodes=3)),
        (RobustRule.MULTI_KRUM, MultiKrum(num_malicious_nodes=3, num_nodes_to_select=12)),
    ],
)
def test_the_named_rules_are_flowers_own_strategies(rule, strategy):
    schools = [*honest_schools(12), *(against(100 + number, 5.0) for number in range(3))]
    arrays, _ = strategy.aggregate_train(1, messages_of(schools))
    theirs = np.concatenate([arrays[slot].numpy().ravel() for slot in SIZES])
    ours = flat(combined(schools, rule=rule, max_norm=1e9).delta)
    # Flower adds up in float32.
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_multi_krum_hands_whole_updates_to_a_fusion_by_least_squares():
    """What one school alone looked at survives, where a mean by coordinate would water it down."""
    schools = honest_schools(5)
    elsewhere = np.diag([4 / 3, 4 / 3, 4 / 3, 0.0]).astype(np.float32)
    alone = np.diag([0.0, 0.0, 0.0, 4.0]).astype(np.float32)
    for each in schools:
        for slot in SIZES:
            each.arrays[slot, Factor.GRAM] = alone if each is schools[0] else elsewhere
    own = schools[0].arrays["layers.0.down", Factor.B][3]

    def missed(rule: RobustRule) -> float:
        outcome = combined(schools, rule=rule, share=0.01, fusion=Fusion.LEAST_SQUARES)
        assert schools[0].node_id not in outcome.pools[0].left_out
        return float(np.linalg.norm(outcome.delta["layers.0.down", Factor.B][3] - own))

    assert missed(RobustRule.MULTI_KRUM) < 0.25 * missed(RobustRule.TRIMMED_MEAN)


def test_a_small_mountain_region_is_heard_in_the_measure_of_its_labels():
    """Six schools of one region learnt the opposite of thirty others: trimmed over all they would vanish."""
    north = [constant(f"north-{number:02}", 0.02) for number in range(30)]
    mountains = [constant(f"gbao-{number}", -0.02) for number in range(6)]
    regions = {each.node_id: "ГБАО" for each in mountains}
    together = combined([*north, *mountains])
    heard = combined([*north, *mountains], regions=regions)
    np.testing.assert_allclose(flat(together.delta), 0.02, rtol=1e-6)
    np.testing.assert_allclose(flat(heard.delta), 0.02 * (30 - 6) / 36, rtol=1e-5)
    assert [pool.weight for pool in heard.pools] == pytest.approx([30 / 36, 6 / 36][::-1])


def test_a_school_that_claims_many_labels_gives_its_region_no_more_weight():
    schools = [*(constant(f"a-{number}", 0.01, labels=4) for number in range(6)), *honest_schools(6)]
    regions = {each.node_id: "Хатлон" for each in schools[:6]}
    modest = combined(schools, regions=regions)
    liars = [dataclasses.replace(schools[0], labels=64), *schools[1:]]
    assert [p.weight for p in combined(liars, regions=regions).pools] == [p.weight for p in modest.pools]


def test_a_region_of_stale_updates_weighs_less():
    schools = [
        *(constant(f"a-{n}", 0.01, staleness=3) for n in range(6)),
        *(constant(f"b-{n}", 0.01) for n in range(6)),
    ]
    regions = {each.node_id: each.node_id[0] for each in schools}
    assert [pool.weight for pool in combined(schools, regions=regions).pools] == pytest.approx([1 / 3, 2 / 3])


def test_regions_with_too_few_schools_speak_together_and_then_with_the_smallest():
    regions = {**dict.fromkeys("abcde", "Суғд"), **dict.fromkeys("fghijk", "Хатлон"), "l": "ГБАО", "m": "Душанбе"}
    pools = regions_pool(regions, fewest=5)
    assert [pool.regions for pool in pools] == [("ГБАО", "Душанбе", "Суғд"), ("Хатлон",)]
    assert [pool.node_ids for pool in pools] == [tuple("abcdelm"), tuple("fghijk")]
    pools = regions_pool({**regions, "n": "ГБАО", "o": "ГБАО", "p": "Душанбе"}, fewest=5)
    assert ("ГБАО", "Душанбе") in {pool.regions for pool in pools}


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.sampled_from(["а", "б", "в", ""]), min_size=5, max_size=40))
def test_pools_hold_every_node_once_and_none_is_too_small(regions):
    pools = regions_pool(regions, fewest=5)
    assert sorted(node for pool in pools for node in pool.node_ids) == sorted(regions)
    assert all(len(pool.node_ids) >= 5 for pool in pools)


def test_a_second_update_of_a_node_is_refused_instead_of_taking_the_first_ones_place():
    with pytest.raises(SchoolTwiceInRound):
        combined([*honest_schools(6), school(3)])


def test_a_round_with_too_few_updates_claims_no_robustness():
    with pytest.raises(TooFewToBeRobust) as refused:
        combined(honest_schools(4))
    assert refused.value.fields == {"updates": 4, "fewest": 5}


@pytest.mark.parametrize("terms", [{"share": 0.0}, {"share": 0.5}, {"share": float("nan")}, {"fewest": 2}])
def test_terms_under_which_no_rule_is_robust_are_refused(terms):
    with pytest.raises(ModeTermsInvalid) as refused:
        RobustTerms(**terms)
    assert isinstance(refused.value, WireError)


@BY_RULE
def test_no_more_than_one_array_of_every_school_is_read_at_once(rule):
    schools = [dataclasses.replace(each, arrays=ArraysOnDisk(each.arrays)) for each in honest_schools(12)]
    ArraysOnDisk.most = 0
    whole = combined(honest_schools(12), rule=rule)
    np.testing.assert_array_equal(flat(combined(schools, rule=rule).delta), flat(whole.delta))
    assert 0 < ArraysOnDisk.most <= len(schools) + 4
