"""McNemar's exact test against a reference that lists every outcome, and what a suite can see."""

from fractions import Fraction
from itertools import product
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.releases.mcnemar import Paired, holm, paired_count, visible_questions, visible_with_power

COUNTS = st.integers(0, 12)
OUTCOMES = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40)
PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def _paired(lost, gained, *, both=3, neither=2):
    return Paired(both=both, lost=lost, gained=gained, neither=neither)


def _share(discordant, is_extreme):
    """The share of all ways to call each discordant question lost or gained that are at least as extreme."""
    ways = [sum(way) for way in product((0, 1), repeat=discordant)]
    return float(Fraction(sum(map(is_extreme, ways)), len(ways)))


@given(COUNTS, COUNTS)
def test_the_probabilities_are_shares_of_all_equally_likely_ways(lost, gained):
    n = lost + gained
    if n > 12:
        n, lost, gained = 12, min(lost, 12), 12 - min(lost, 12)
    paired = _paired(lost, gained)
    assert paired.p_worse == _share(n, lambda heads: heads >= lost)
    uneven = abs(lost - gained)
    assert paired.p_different == _share(n, lambda heads: abs(2 * heads - n) >= uneven)


@given(OUTCOMES)
def test_every_question_is_counted_once_and_the_order_does_not_matter(outcomes):
    before, after = [pair[0] for pair in outcomes], [pair[1] for pair in outcomes]
    paired = paired_count(before, after)
    assert paired.count == len(outcomes)
    assert (paired.both + paired.lost, paired.both + paired.gained) == (sum(before), sum(after))
    assert paired == paired_count(before[::-1], after[::-1])


def test_outcomes_of_other_questions_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        paired_count([True, False], [True])


def test_a_table_has_the_probabilities_that_were_worked_out_by_hand():
    # 9 or more of 11: (55 + 11 + 1) of 2,048 ways.
    assert _paired(9, 2).p_worse == 67 / 2048
    assert _paired(9, 2).p_different == 134 / 2048
    assert _paired(121, 59).p_different < 1e-5
    assert _paired(0, 0).p_worse == _paired(0, 0).p_different == 1.0


@given(PROBABILITIES)
def test_holm_never_makes_a_probability_smaller_nor_more_than_multiplies_it(probabilities):
    corrected = holm(probabilities)
    for before, after in zip(probabilities, corrected, strict=True):
        assert before <= after <= min(1.0, before * len(probabilities))
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    assert sorted(corrected) == [corrected[position] for position in order]


@given(PROBABILITIES, st.floats(0.001, 0.2))
def test_holm_rejects_exactly_what_the_step_down_procedure_rejects(probabilities, alpha):
    rejected = set()
    for rank, position in enumerate(sorted(range(len(probabilities)), key=probabilities.__getitem__)):
        # Written as the code multiplies, so that no rounding stands between the two.
        if (len(probabilities) - rank) * probabilities[position] > alpha:
            break
        rejected.add(position)
    assert {position for position, p in enumerate(holm(probabilities)) if p <= alpha} == rejected


@pytest.mark.parametrize(
    ("count", "alpha", "visible"), [(48, 0.05, 5), (4, 0.05, None), (5, 0.05, 5), (8, 0.05 / 6, 7), (0, 0.05, None)]
)
def test_the_smallest_visible_loss_is_the_first_that_would_be_significant(count, alpha, visible):
    assert visible_questions(count, alpha=alpha) == visible
    if visible is not None:
        assert _paired(visible, 0).p_worse <= alpha < _paired(visible - 1, 0).p_worse


@given(st.integers(0, 60), st.sampled_from([0.05, 0.01]))
def test_a_loss_is_found_with_the_stated_power_and_a_smaller_one_is_not(discordant, alpha):
    found = visible_with_power(discordant, alpha=alpha, power=0.8)
    if found is None:
        assert _paired(discordant, 0).p_worse > alpha
        return
    assert 0 < found <= discordant
    for loss, is_found in ((found + 1e-6, True), (found - 1e-6, False)):
        share = (loss / discordant + 1) / 2
        power = sum(
            comb(discordant, lost) * share**lost * (1 - share) ** (discordant - lost)
            for lost in range(discordant + 1)
            if _paired(lost, discordant - lost).p_worse <= alpha
        )
        assert (power >= 0.8) is is_found


def test_thousands_of_questions_are_no_matter():
    # The normal approximation: 1.645 + 0.842 standard deviations of the square root of 3,000.
    assert visible_with_power(3000, alpha=0.05) == pytest.approx(2.487 * 3000**0.5, rel=0.02)
    assert 0.04 < _paired(1546, 1454).p_worse < 0.05
