"""Outlier figures: what stands apart is named with its reason for a person, and what is only different is not."""

import dataclasses

import numpy as np
import pytest

from federation.learning.modes.inner_products import inner_products
from federation.learning.modes.outliers import (
    Claims,
    KnownGains,
    OutlierLimits,
    OutlierReason,
    outliers_judge,
    outliers_measure,
)
from federation.wire.rounds import LocalScores
from tests.learning.mode_contributions import ArraysOnDisk, constant, contribution_of, flat, school

HONEST = [school(number) for number in range(16)]
LIMITS = OutlierLimits()


def claims(node_id, *, before=1.4, after=0.1, scores=None) -> Claims:
    return Claims(node_id=node_id, loss_before=before, loss_after=after, scores=scores)


def measured(schools, *claimed, known=None):
    by_node = {each.node_id: each for each in claimed}
    return outliers_measure(
        inner_products(schools),
        [by_node.get(each.node_id, claims(each.node_id)) for each in schools],
        [(known or {}).get(each.node_id, KnownGains()) for each in schools],
    )


def judged(schools, *claimed, known=None):
    return outliers_judge(measured(schools, *claimed, known=known), LIMITS)


def gains(node_id, *, own=None, others=None):
    """Return what all honest schools gain, a little of it on others' corrections, and what `node_id` does."""
    honest = {each.node_id: KnownGains(own=1.0, others=0.02 * number) for number, each in enumerate(HONEST)}
    return honest | {node_id: KnownGains(own=own, others=others)}


def scores(before: float, after: float) -> LocalScores:
    return LocalScores(labels=6, nats_before=before, nats_after=after, preferred_before=0.5, preferred_after=0.5)


def renamed(contribution, node_id):
    return dataclasses.replace(contribution, node_id=node_id)


def test_honest_schools_stay_in_the_round():
    assert judged(HONEST) == {}


def test_four_of_twenty_sign_flipped_a_hundredfold_updates_are_named_with_both_reasons():
    poisoned = [school(100 + number, factor=-100.0) for number in range(4)]
    reasons = (OutlierReason.FAR_LONGER, OutlierReason.AGAINST_THE_OTHERS)
    assert judged([*HONEST, *poisoned]) == {each.node_id: reasons for each in poisoned}


def test_a_sign_flipped_update_of_honest_length_is_named():
    poisoned = school(100, factor=-1.0)
    assert judged([*HONEST, poisoned]) == {poisoned.node_id: (OutlierReason.AGAINST_THE_OTHERS,)}


def test_colluding_schools_are_each_others_twins():
    poison = school(100, factor=-0.2, spread=0.0)
    colluding = [renamed(poison, f"node-9{number}") for number in range(4)]
    found = judged([*HONEST, *colluding])
    assert found.keys() == {each.node_id for each in colluding}
    assert all(OutlierReason.TWIN in reasons for reasons in found.values())


def test_a_school_whose_pupils_ask_about_other_things_is_not_held_back():
    """Its update has nothing in common with the others': a right angle, and the usual length."""
    common = sum(flat(each.arrays) for each in HONEST)
    vector = flat(school(200).arrays)
    vector -= common * (vector @ common) / (common @ common)
    different = contribution_of("elsewhere", vector)
    figures = measured([*HONEST, different])[-1]
    assert abs(figures.cosine) < 0.1
    assert judged([*HONEST, different]) == {}


def test_a_claim_of_losses_unlike_all_others_is_named_in_either_direction():
    for before, after in ((1.4, 9.0), (30.0, 0.1)):
        odd = claims("node-003", before=before, after=after)
        assert judged(HONEST, odd) == {"node-003": (OutlierReason.ODD_LOSS,)}


def test_an_update_that_made_its_own_schools_held_out_labels_worse_is_named_even_alone():
    worse, better = claims("node-000", scores=scores(1.0, 2.0)), claims("node-000", scores=scores(2.0, 1.0))
    assert judged(HONEST[:1], worse) == {"node-000": (OutlierReason.WORSE_ON_OWN_LABELS,)}
    assert judged(HONEST[:1], better) == {}


def test_an_update_that_makes_its_own_schools_corrections_dearer_is_named_even_alone():
    def reasons(own, others=None):
        return judged(HONEST[:1], known={"node-000": KnownGains(own=own, others=others)})

    assert reasons(-0.6) == {"node-000": (OutlierReason.WORSE_ON_OWN_CORRECTIONS,)}
    assert reasons(-0.6, others=1.0) == {"node-000": (OutlierReason.WORSE_ON_OWN_CORRECTIONS,)}
    assert reasons(-0.4) == {}


def test_corrections_that_a_school_has_not_learnt_from_may_fare_like_others():
    unlearnt = {"node-000": KnownGains(own=-1.2, others=-0.9)}
    assert judged(HONEST[:1], known=unlearnt) == {}
    poisoned = {"node-000": KnownGains(own=-1.6, others=-0.9)}
    assert judged(HONEST[:1], known=poisoned) == {"node-000": (OutlierReason.WORSE_ON_OWN_CORRECTIONS,)}


def test_a_school_that_shares_no_words_is_named_by_what_its_update_does_to_others_corrections():
    found = judged(HONEST, known=gains("node-003", others=-1.0))
    assert found == {"node-003": (OutlierReason.WORSE_ON_OTHERS_CORRECTIONS,)}
    assert judged(HONEST, known=gains("node-003", others=-0.4)) == {}


def test_where_all_updates_make_others_corrections_dearer_none_is_odd():
    known = {each.node_id: KnownGains(others=-0.5 - 0.05 * (number % 5)) for number, each in enumerate(HONEST)}
    assert judged(HONEST, known=known) == {}


def test_what_the_centre_saw_stands_in_the_figures_and_is_nothing_where_it_knows_nothing():
    figures = measured(HONEST, known=gains("node-003"))
    assert (figures[3].own_gain, figures[3].others_gain, figures[3].others_gain_deviation) == (None, None, None)
    assert (figures[4].own_gain, figures[4].others_gain) == (1.0, 0.08)
    middle = 0.02 * np.median([number for number in range(16) if number != 3])
    assert figures[15].others_gain_deviation == pytest.approx(0.6745 * (0.3 - middle) / 0.1, rel=1e-6)


def test_with_too_few_to_compare_nobody_is_called_odd_for_being_unlike():
    assert judged([*HONEST[:3], school(100, factor=-100.0)]) == {}


def test_the_figures_are_those_of_a_plain_reference():
    schools = [*HONEST, school(100, factor=-3.0)]
    vectors = np.array([flat(each.arrays) for each in schools])
    norms = np.linalg.norm(vectors, axis=1)
    figures = measured(schools)
    np.testing.assert_allclose([each.norm for each in figures], norms, rtol=1e-6)
    np.testing.assert_allclose([each.norm_ratio for each in figures], norms / np.median(norms), rtol=1e-6)
    angles = (vectors @ vectors.T) / np.outer(norms, norms) - 2 * np.eye(len(schools))
    np.testing.assert_allclose([each.nearest for each in figures], angles.max(axis=1), rtol=1e-6)
    # Iterated on whole vectors, without the table of inner products: the geometric median of the directions.
    directions = vectors / norms[:, None]
    centre = directions.mean(axis=0)
    for _ in range(200):
        weights = 1 / np.linalg.norm(directions - centre, axis=1)
        weights /= weights.sum()
        centre = weights @ directions
    others = centre - weights[:, None] * directions
    expected = (directions * others).sum(axis=1) / np.linalg.norm(others, axis=1)
    np.testing.assert_allclose([each.cosine for each in figures], expected, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_updates_that_are_all_nothing_have_finite_figures_and_are_nobodys_twins(count):
    figures = measured([constant(f"node-{number}", 0.0) for number in range(count)])
    assert all(np.isfinite([each.norm_ratio, each.cosine, each.nearest]).all() for each in figures)
    assert outliers_judge(figures, LIMITS) == {}


def test_the_table_is_made_without_holding_more_than_one_array_of_every_school():
    schools = [dataclasses.replace(each, arrays=ArraysOnDisk(each.arrays)) for each in HONEST]
    ArraysOnDisk.most = 0
    np.testing.assert_array_equal(inner_products(schools), inner_products(HONEST))
    assert 0 < ArraysOnDisk.most <= len(HONEST)
