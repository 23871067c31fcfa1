"""The pure rules of rollouts: rhythm, targets, bounds of waves, ratings, expected days, verdicts."""

import itertools
import math
import random
from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from central.feedback.shares import SchoolRatings, design_effect, share_of, wilson
from central.rollouts.expected import USUAL_BYTES_A_DAY, PastFetch, bytes_a_contact_day, expected_days
from central.rollouts.membership import PLACES, WaveScope, WaveSize, node_place, wave_bounds, wave_of, wave_of_late
from central.rollouts.quality import QualityOutcome, QualityRules, change_interval, quality_judge
from central.rollouts.targeting import SchoolFacts, Target
from central.rollouts.verdict import WaveCounts, WaveOutcome, WaveRules, committed_needed, wave_judge
from central.schools.hardware_class import HardwareClass, hardware_class
from central.schools.rhythm import HISTORY_DAYS, Rhythm, contact_days_record
from federation.wire.enrolment import Hardware

TODAY = date(2026, 11, 26)
FACTS = SchoolFacts(
    node_id="n",
    school_id=1,
    region="Хатлон",
    district="Восеъ",
    kind="гимназия",
    hardware=HardwareClass.MEDIUM,
    tags=frozenset({"таҷрибавӣ"}),
)
RULES = WaveRules(
    min_committed=1, pass_share=0.9, failures_allowed=1, soak=timedelta(hours=1), deadline=timedelta(days=21)
)


# Rhythm.


def _days_record(dates):
    days, last = 0, None
    for day in dates:
        days = contact_days_record(days=days, last=last, today=day)
        last = day
    return Rhythm(days=days, last=last)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=40, unique=True).map(sorted))
def test_the_history_holds_the_days_of_the_last_two_months_and_no_other(offsets):
    rhythm = _days_record([TODAY + timedelta(days=offset) for offset in offsets])
    recent = [offset for offset in offsets if offsets[-1] - offset < HISTORY_DAYS]
    expected = [newer - older for older, newer in itertools.pairwise(recent)][::-1]
    assert rhythm.gaps() == expected
    assert rhythm.days < 2**63


def test_a_daily_a_weekly_and_an_unknown_school_are_missed_after_different_times():
    daily = _days_record([TODAY + timedelta(days=day) for day in range(20)])
    weekly = _days_record([TODAY + timedelta(days=7 * week) for week in range(6)])
    new = _days_record([TODAY])
    assert (daily.gap_days(), weekly.gap_days()) == (1.0, 7.0)
    for rhythm, patience in ((daily, 2), (weekly, 10.5), (new, 14)):
        assert rhythm.patience_days() == patience
        assert not rhythm.is_overdue(rhythm.last + timedelta(days=math.floor(patience)))
        assert rhythm.is_overdue(rhythm.last + timedelta(days=math.floor(patience) + 1))


def test_a_pc_that_never_came_is_not_overdue():
    assert not Rhythm(days=0, last=None).is_overdue(TODAY)


def test_a_clock_that_jumps_back_or_by_centuries_harms_no_history():
    days = contact_days_record(days=0b101, last=TODAY, today=TODAY - timedelta(days=400))
    assert days == 0b101
    assert contact_days_record(days=0b101, last=date(1970, 1, 1), today=date(9999, 1, 1)) == 1


@pytest.mark.parametrize(
    ("gigabytes", "gpu", "found"),
    [(1.9, 0, "small"), (3.7, 0, "medium"), (7.7, 0, "large"), (15.5, 0, "large"), (3.7, 4, "gpu")],
)
def test_a_pc_belongs_to_the_class_of_the_memory_that_it_was_sold_with(gigabytes, gpu, found):
    hardware = Hardware(
        cores=2,
        memory_bytes=int(gigabytes * 2**30),
        disk_free_bytes=0,
        machine="x86_64",
        gpu_memory_bytes=gpu * 2**30,
    )
    assert hardware_class(hardware) == found
    assert hardware_class(None) is HardwareClass.UNKNOWN


# Targets.


@pytest.mark.parametrize(
    ("target", "is_in"),
    [
        (Target(), True),
        (Target(regions=("Суғд", "Хатлон")), True),
        (Target(regions=("Суғд",)), False),
        (Target(regions=("Хатлон",), kinds=("литсей",)), False),
        (Target(districts=("Восеъ",), hardware=("medium", "large"), tags=("таҷрибавӣ", "деҳот")), True),
        (Target(hardware=("large",)), False),
        (Target(tags=("деҳот",)), False),
    ],
)
def test_a_target_asks_for_one_of_the_marks_of_every_kind_that_it_names(target, is_in):
    assert target.admits(FACTS) is is_in


# Waves.


def _waves_by_rule(sizes, count, rollout_id=1):
    ids = [f"node-{number}" for number in range(count)]
    bounds = wave_bounds(sizes, places=[node_place(node_id=each, rollout_id=rollout_id) for each in ids])
    scopes = [WaveScope(number=number, place_below=below) for number, below in bounds.items()]
    return [wave_of(node_id=each, school_id=0, rollout_id=rollout_id, waves=scopes) for each in ids]


def test_a_wave_by_number_has_exactly_so_many_pcs_and_comes_after_the_share_before_it():
    sizes = [WaveSize(number=1, count=10), WaveSize(number=2, percent=25), WaveSize(number=3, count=100)]
    waves = _waves_by_rule(sizes, 1000)
    assert (waves.count(1), waves.count(3)) == (10, 100)
    assert 200 < waves.count(1) + waves.count(2) < 300
    assert waves.count(None) == 1000 - 110 - waves.count(2)


@given(
    st.lists(
        st.one_of(st.tuples(st.integers(1, 100), st.just(0)), st.tuples(st.just(0), st.integers(1, 50))), max_size=5
    ),
    st.integers(0, 80),
)
def test_bounds_never_fall_and_counted_waves_are_never_too_large(asked, nodes):
    sizes = [WaveSize(number=n, percent=percent, count=count) for n, (percent, count) in enumerate(asked, start=1)]
    bounds = [below for _number, below in sorted(wave_bounds(sizes, places=_places(nodes)).items())]
    assert bounds == sorted(bounds)
    assert all(0 <= below <= PLACES for below in bounds)
    waves = _waves_by_rule(sizes, nodes)
    assert all(waves.count(size.number) <= size.count for size in sizes if size.count)


def _places(nodes):
    return [node_place(node_id=f"node-{number}", rollout_id=1) for number in range(nodes)]


def test_who_is_first_changes_from_rollout_to_rollout():
    sizes = [WaveSize(number=1, count=10), WaveSize(number=2, percent=100)]
    first, second = (
        {number for number, wave in enumerate(_waves_by_rule(sizes, 1000, rollout)) if wave == 1} for rollout in (1, 2)
    )
    assert len(first & second) <= 2


def test_a_school_that_a_later_wave_names_is_in_no_earlier_waves_share():
    waves = [
        WaveScope(number=1, place_below=PLACES),
        WaveScope(number=2, school_ids=frozenset({7}), place_below=PLACES),
    ]
    assert wave_of(node_id="x", school_id=7, rollout_id=1, waves=waves) == 2
    assert wave_of(node_id="x", school_id=8, rollout_id=1, waves=waves) == 1


@pytest.mark.parametrize(
    ("planned", "opened", "counted", "listed", "joined"),
    [
        (1, {1, 2}, (), (), 1),
        (3, {1, 2}, (), (), 2),
        (3, {1, 2}, (2,), (), None),
        (3, {1, 2}, (), (2,), None),
        (1, {1}, (1,), (), None),
        (1, {1, 2}, (1,), (), 2),
        (1, {1}, (), (1,), 1),
        (None, {1, 2}, (), (), None),
        (1, set(), (), (), None),
    ],
)
def test_a_late_school_joins_its_wave_or_the_last_open_one_and_never_a_counted_one(
    planned, opened, counted, listed, joined
):
    found = wave_of_late(
        planned=planned, opened=frozenset(opened), counted=frozenset(counted), listed=frozenset(listed)
    )
    assert found == joined


# Ratings.


def test_wilsons_interval_is_that_of_the_textbook():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662, and 0 of 20 gives 0 to 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def _schools(good, total, number):
    return [SchoolRatings(good=good, total=total) for _ in range(number)]


def test_the_interval_of_a_change_is_newcombes():
    # Newcombe 1998, table II, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339. Schools of one rating each
    # have no likeness within, so the design effect is that of the small sample alone.
    new = _schools(1, 1, 56) + _schools(0, 1, 14)
    old = _schools(1, 1, 48) + _schools(0, 1, 32)
    at_95 = change_interval(new=share_of(new), old=share_of(old))
    assert at_95 == pytest.approx((0.0524, 0.3339), abs=2e-3)
    quality = quality_judge(new=new, old=old, rules=QualityRules(margin=0.05, min_ratings=30))
    assert quality.low < at_95[0]
    assert quality.high > at_95[1]


def test_ratings_that_fell_beyond_the_margin_and_beyond_doubt_are_worse():
    rules = QualityRules(margin=0.05, min_ratings=30)
    outcomes = [
        quality_judge(new=_schools(new, 10, 20), old=_schools(8, 10, 20), rules=rules).outcome for new in (9, 8, 5)
    ]
    assert outcomes == [QualityOutcome.AS_GOOD, QualityOutcome.AS_GOOD, QualityOutcome.WORSE]


def test_a_small_surely_known_fall_is_within_the_margin():
    quality = quality_judge(
        new=_schools(78, 100, 400), old=_schools(80, 100, 400), rules=QualityRules(margin=0.05, min_ratings=30)
    )
    assert quality.high < 0
    assert quality.outcome is QualityOutcome.AS_GOOD


def test_too_few_ratings_say_nothing():
    quality = quality_judge(
        new=_schools(0, 1, 29), old=_schools(1, 1, 300), rules=QualityRules(margin=0.05, min_ratings=30)
    )
    assert quality.outcome is QualityOutcome.UNKNOWN


def test_one_school_with_hundreds_of_bad_ratings_cannot_condemn_a_release():
    new = [SchoolRatings(good=0, total=300), *_schools(8, 10, 20)]
    quality = quality_judge(new=new, old=_schools(8, 10, 21), rules=QualityRules(margin=0.05, min_ratings=30))
    assert quality.change < -0.05
    assert quality.outcome is QualityOutcome.AS_GOOD
    assert share_of([SchoolRatings(good=50, total=100)]).low < 0.1
    assert share_of([SchoolRatings(good=50, total=100)]).total == 20


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_shares_lie_within_their_intervals_and_likeness_never_narrows_them(pairs):
    schools = [SchoolRatings(good=min(good, total), total=total) for good, total in pairs]
    share = share_of(schools)
    assert share.low - 1e-9 <= share.share <= share.high + 1e-9
    assert design_effect(schools) >= 1.0
    if share.total:
        low, high = wilson(sum(each.good for each in schools), share.total)
        assert share.high - share.low >= (high - low) - 1e-9


def test_the_verdict_on_equal_releases_is_rarely_worse():
    # Schools differ (a beta of mean 0.7), the release does not: at 99% two-sided, about 1 in 200 would be wrong, fewer
    # because the fall must exceed the margin as well.
    rng, rules = random.Random(7), QualityRules(margin=0.05, min_ratings=30)

    def drawn():
        return [SchoolRatings(good=sum(rng.random() < p for _ in range(10)), total=10) for p in shares]

    wrong = 0
    for _ in range(300):
        shares = [rng.betavariate(7, 3) for _ in range(30)]
        wrong += quality_judge(new=drawn(), old=drawn(), rules=rules).outcome is QualityOutcome.WORSE
    assert wrong <= 3


# Expected days.


def test_expected_days_follow_the_rhythm_and_the_past_and_a_quick_fetch_says_little():
    assert expected_days(size_bytes=1_000_000, past=[], gap_days=7.0) == 7.0
    assert expected_days(size_bytes=10 * USUAL_BYTES_A_DAY, past=[], gap_days=1.0) == 10.0
    slow = [PastFetch(size_bytes=100_000_000, days=20.0)]
    assert bytes_a_contact_day(slow, gap_days=1.0) == 5_000_000
    assert expected_days(size_bytes=50_000_000, past=slow, gap_days=1.0) == 10.0
    quick = [PastFetch(size_bytes=100_000, days=0.1)]
    assert bytes_a_contact_day(quick, gap_days=1.0) == USUAL_BYTES_A_DAY
    assert bytes_a_contact_day([PastFetch(size_bytes=10**9, days=0.5)], gap_days=1.0) == 10**9


# Verdicts.


def _verdict(*, age=timedelta(0), soaking=None, quality=QualityOutcome.UNKNOWN, **counts):
    now = timezone.now()
    verdict = wave_judge(
        counts=WaveCounts(**{"nodes": 100, "contacted": 0, "committed": 0, "failed": 0, **counts}),
        rules=RULES,
        opened_at=now - age,
        soaking_since=None if soaking is None else now - soaking,
        now=now,
        quality=quality,
    )
    return verdict.outcome, verdict.reason


def test_failures_come_before_everything_and_a_person_decides_about_worse_ratings():
    good = {"contacted": 10, "committed": 10, "soaking": timedelta(hours=2)}
    assert _verdict(**good)[0] is WaveOutcome.PASSED
    assert _verdict(**good, quality=QualityOutcome.AS_GOOD)[0] is WaveOutcome.PASSED
    assert _verdict(**good, quality=QualityOutcome.WORSE) == (WaveOutcome.INCONCLUSIVE, "ratings_worse")
    assert _verdict(**good, failed=1)[0] is WaveOutcome.PASSED
    assert _verdict(**good, failed=2, quality=QualityOutcome.WORSE) == (WaveOutcome.FAILED, "too_many_failures")


def test_schools_that_fall_silent_unlike_themselves_stop_a_wave_and_a_few_of_them_do_not():
    good = {"committed": 9, "soaking": timedelta(hours=2)}
    assert _verdict(contacted=10, silent=2, **good)[0] is WaveOutcome.PASSED
    assert _verdict(contacted=10, silent=3, **good) == (WaveOutcome.INCONCLUSIVE, "schools_fell_silent")
    assert _verdict(contacted=100, committed=95, silent=25, soaking=timedelta(hours=2))[0] is WaveOutcome.PASSED


def test_a_wave_of_fewer_pcs_than_must_succeed_needs_the_share_of_those_it_has():
    rules = replace(RULES, min_committed=10)

    def needed(**counts):
        return committed_needed(WaveCounts(committed=0, failed=0, **counts), rules)

    assert needed(nodes=5, contacted=5) == 5
    assert needed(nodes=10, contacted=2) == 9
    assert needed(nodes=100, contacted=2) == 10
    assert needed(nodes=100, contacted=50) == 45
    assert needed(nodes=0, contacted=0) == 1


def test_a_wave_waits_once_more_for_schools_that_are_not_due():
    assert _verdict(age=timedelta(days=20)) == (WaveOutcome.OPEN, "waiting_for_reports")
    assert _verdict(age=timedelta(days=21), awaited=1) == (WaveOutcome.OPEN, "schools_not_due")
    assert _verdict(age=timedelta(days=21)) == (WaveOutcome.INCONCLUSIVE, "too_few_reports")
    assert _verdict(age=timedelta(days=42), awaited=1) == (WaveOutcome.INCONCLUSIVE, "too_few_reports")
