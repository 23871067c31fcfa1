"""What halts a rollout, what brings it back, and what a person may do about it."""

import json
from dataclasses import replace
from datetime import time, timedelta

import pytest
from django.utils import timezone

from central import trust_root
from central.releases.models import Release
from central.rollouts.director import assignment_word
from central.rollouts.errors import BudgetSpent, ReasonMissing, ReleaseNeverRan, WaveUndecided, WindowInvalid
from central.rollouts.evidence import wave_counts
from central.rollouts.models import Assignment, Directive, Rollout, RolloutKind, RolloutStatus
from central.rollouts.services import (
    budget_raise,
    rollout_create,
    rollout_resume,
    rollout_roll_back,
    wave_extend,
    wave_override,
)
from central.rollouts.terms import RolloutTerms
from central.rollouts.wave_spec import WaveSpec
from central.schools.models import AuditEvent, Node
from federation.trust.envelopes import ASSIGNMENT, envelope_payload_unverified
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.releases import Assignment as AssignmentDocument
from tests.central.school import RATING, SimulatedSchool, rating_parcel
from tests.central.test_rollouts import RULES, _running, _tick, _waves, release_make

ALL = "ҳама=100%"
DAY = timedelta(days=1)


@pytest.fixture
def release(db):
    return release_make(1)


@pytest.fixture
def schools(client, school, other_school):
    return [school, other_school, SimulatedSchool.enrolled(client, name="Мактаби №3")]


def rate(school, *stars, release, first=1):
    """Let a teacher of the school rate answers of the release, through the door."""
    parcels = [
        rating_parcel(seq, body=json.loads(canonical_bytes(replace(RATING, stars=given, release=release.digest))))
        for seq, given in enumerate(stars, start=first)
    ]
    assert school.send_parcels(*parcels).status_code == 200


def fail(school):
    word = school.word()
    school.check_in(school.report(word, "reverted", "self_test_failed"))


# Ratings.


def _newer_rollout_rated(schools, release, stars):
    """Let all run `release` and rate it well, then a newer one in a first wave of two, rated `stars`."""
    _running(release, ALL)
    for each in schools:
        each.install()
        rate(each, *[5] * 20, release=release)
    newer = release_make(2)
    rollout = _running(newer, "аввал=Мактаби №1,Мактаби №2", ALL)
    for each in schools[:2]:
        each.install()
        rate(each, *[stars] * 20, release=newer, first=21)
    _tick(rollout)
    return rollout


def test_worse_ratings_stop_the_rollout_before_its_next_wave(schools, release):
    rollout = _newer_rollout_rated(schools, release, stars=1)
    assert (rollout.status, rollout.pause_reason) == (RolloutStatus.PAUSED, "quality")
    assert _waves(rollout) == ["inconclusive", "pending"]
    wave = rollout.waves.get(number=1)
    assert (wave.verdict_reason, wave.quality["outcome"], wave.quality["change"]) == ("ratings_worse", "worse", -1.0)
    assert schools[2].word().release == release.digest


def test_good_ratings_let_the_next_wave_open(schools, release):
    rollout = _newer_rollout_rated(schools, release, stars=5)
    assert _waves(rollout) == ["passed", "open"]
    assert rollout.waves.get(number=1).quality["outcome"] == "as_good"


def test_ratings_that_a_person_let_pass_are_not_held_against_the_next_wave(schools, release):
    rollout = _newer_rollout_rated(schools, release, stars=1)
    wave, now = rollout.waves.get(number=1), timezone.now()
    with pytest.raises(ReasonMissing):
        wave_override(wave=wave, actor="a", reason=" ", now=now)
    assert _waves(rollout)[0] == "inconclusive"
    wave_override(wave=wave, actor="a", reason="one teacher tested the stars", now=now)
    rollout_resume(rollout=rollout, actor="a", now=now)
    _tick(rollout)
    assert (rollout.status, _waves(rollout)) == (RolloutStatus.RUNNING, ["passed", "open"])


def test_an_extension_does_not_make_bad_ratings_good(schools, release):
    rollout = _newer_rollout_rated(schools, release, stars=1)
    wave_extend(wave=rollout.waves.get(number=1), actor="a", now=timezone.now())
    rollout_resume(rollout=rollout, actor="a", now=timezone.now())
    _tick(rollout)
    assert (rollout.status, rollout.pause_reason) == (RolloutStatus.PAUSED, "quality")


# Failures.


def test_one_failure_too_many_halts_in_the_very_check_in_that_reports_it(schools, release):
    rollout = _running(release, ALL)
    word = schools[0].word()
    schools[1].word()
    schools[0].check_in(schools[0].report(word, "reverted", "self_test_failed"))
    rollout.refresh_from_db()
    assert (rollout.status, rollout.pause_reason, _waves(rollout)) == ("paused", "error_threshold", ["failed"])
    assert schools[1].word().waiting_reason == "rollout_paused"
    assert AuditEvent.objects.filter(entity=f"rollouts.rollout {rollout.pk}", new="paused").count() == 1


def test_failures_after_a_wave_has_passed_still_count_against_the_whole(schools, release):
    rollout = _running(release, "аввал=Мактаби №1", ALL, rules=replace(RULES, failures_allowed=0))
    schools[0].install()
    _tick(rollout)
    assert _waves(rollout) == ["passed", "open"]
    schools[0].running = "f" * 64
    schools[0].check_in()
    rollout.refresh_from_db()
    assert (rollout.status, rollout.pause_reason) == ("paused", "error_threshold")
    assert _waves(rollout) == ["passed", "open"]
    assert schools[1].word().release is None


def test_a_spent_budget_is_raised_only_with_a_reason_and_only_above_what_has_failed(schools, release):
    rollout = _running(release, ALL, rules=replace(RULES, failures_allowed=9))
    Rollout.objects.update(failure_budget=1)
    for each in schools[:2]:
        fail(each)
    rollout.refresh_from_db()
    assert (rollout.status, _waves(rollout)) == ("paused", ["open"])
    now = timezone.now()
    with pytest.raises(BudgetSpent):
        rollout_resume(rollout=rollout, actor="a", now=now)
    with pytest.raises(ReasonMissing):
        budget_raise(rollout=rollout, failure_budget=5, actor="a", reason="", now=now)
    with pytest.raises(BudgetSpent):
        budget_raise(rollout=rollout, failure_budget=1, actor="a", reason="old disks", now=now)
    rollout.refresh_from_db()
    assert (rollout.status, rollout.failure_budget) == ("paused", 1)
    budget_raise(rollout=rollout, failure_budget=2, actor="a", reason="old disks", now=now)
    rollout_resume(rollout=rollout, actor="a", now=now)
    assert schools[2].install().release == release.digest
    assert AuditEvent.objects.filter(reason="old disks", new="budget 2").exists()


def test_a_rollout_with_a_failed_or_undecided_wave_does_not_resume(schools, release):
    rollout = _running(release, ALL)
    fail(schools[0])
    rollout.refresh_from_db()
    with pytest.raises(WaveUndecided):
        rollout_resume(rollout=rollout, actor="a", now=timezone.now())
    rollout.refresh_from_db()
    assert (rollout.status, _waves(rollout)) == ("paused", ["failed"])


def test_a_repeated_and_a_late_report_halt_nothing_again(schools, release):
    _running(release, ALL)
    word = schools[0].word()
    report = schools[0].report(word, "reverted", "self_test_failed")
    schools[0].check_in(report)
    rows = list(AuditEvent.objects.values_list("pk", flat=True))
    schools[0].check_in(report, schools[0].report(word, "downloading"))
    assert list(AuditEvent.objects.values_list("pk", flat=True)) == rows
    assert Rollout.objects.get().status == "paused"


# Silence.


def test_schools_that_fall_silent_unlike_themselves_stop_the_rollout_and_count_as_no_failure(schools, release):
    rollout = _running(release, ALL, rules=replace(RULES, pass_share=1.0, min_committed=9))
    for each in schools:
        each.install()
    Node.objects.update(contact_days=0b11111, last_contact_at=timezone.now() - 4 * DAY)
    _tick(rollout)
    assert (rollout.status, rollout.pause_reason) == (RolloutStatus.PAUSED, "inconclusive")
    wave = rollout.waves.get()
    assert (wave.verdict_reason, wave.counts["silent"], wave.counts["failed"]) == ("schools_fell_silent", 3, 0)


def test_schools_that_come_once_a_week_are_not_missed_after_four_days(schools, release):
    rollout = _running(release, ALL, rules=replace(RULES, pass_share=1.0, min_committed=3))
    schools[0].word()
    for each in schools[1:]:
        each.install()
    weekly = sum(1 << 7 * week for week in range(5))
    Node.objects.update(contact_days=weekly, last_contact_at=timezone.now() - 4 * DAY)
    _tick(rollout)
    assert (rollout.status, _waves(rollout)) == (RolloutStatus.RUNNING, ["open"])


# Revocation.


def test_a_revoked_base_pauses_every_rollout_of_it_and_of_its_adapters(schools, release):
    adapter = release_make(2, kind="adapter", base=release)
    rollouts = [_running(release, "аввал=Мактаби №1"), _running(adapter, "дуюм=Мактаби №2")]
    unharmed = _running(release_make(3), "сеюм=Мактаби №3")
    Release.objects.filter(pk=release.pk).update(status="revoked")
    assert [each.word().release for each in schools[:2]] == [None, None]
    for rollout in rollouts:
        _tick(rollout)
    _tick(unharmed)
    assert [(each.status, each.pause_reason) for each in rollouts] == [("paused", "revoked")] * 2
    assert unharmed.status == RolloutStatus.RUNNING


# Rolling back.


def _two_releases(schools, release):
    first = _running(release, ALL)
    for each in schools:
        each.install()
    _tick(first)
    return _running(release_make(2), ALL)


def test_a_completed_rollout_is_rolled_back_by_one_action(schools, release):
    rollout = _two_releases(schools, release)
    for each in schools:
        each.install()
    _tick(rollout)
    assert (rollout.status, rollout.is_final) == (RolloutStatus.COMPLETED, True)
    rollout_roll_back(rollout=rollout, actor="a", reason="wrong letters", now=timezone.now())
    words = [each.word() for each in schools]
    assert {(word.release, word.is_forced, word.waiting_reason) for word in words} == {
        (release.digest, True, "rolling_back")
    }
    for each in schools[:2]:
        each.running = release.digest
        each.check_in()
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLING_BACK
    schools[2].running = release.digest
    schools[2].check_in()
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLED_BACK
    assert schools[0].word().release == release.digest


def test_a_school_that_took_the_release_and_could_not_say_so_goes_back_too(schools, release):
    rollout = _two_releases(schools, release)
    word = schools[0].word()
    rollout_roll_back(rollout=rollout, actor="a", reason="", now=timezone.now())
    schools[0].running = word.release
    schools[0].check_in(schools[0].report(word, "committed"))
    back = schools[0].word()
    assert (back.release, back.sequence > word.sequence) == (release.digest, True)
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLING_BACK
    schools[0].running = release.digest
    schools[0].check_in()
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLED_BACK


def test_the_same_action_rolls_back_a_school_that_only_a_stick_reaches(schools, release):
    rollout = _two_releases(schools, release)
    node = Node.objects.get(pk=schools[0].node_id)
    key = trust_root.director_key()
    carried = assignment_word(node=node, key=key, now=timezone.now())
    assert (carried.release, Assignment.objects.get(rollout=rollout, node=node).status) == (
        rollout.release.digest,
        "pending",
    )
    rollout_roll_back(rollout=rollout, actor="a", reason="", now=timezone.now())
    back = assignment_word(node=node, key=key, now=timezone.now())
    assert (back.release, back.sequence) == (release.digest, carried.sequence + 1)
    document = parse(AssignmentDocument, envelope_payload_unverified(bytes(back.envelope), kind=ASSIGNMENT))
    assert (document.release, document.sequence) == (release.digest, back.sequence)
    assert Directive.objects.get(node=node).sequence == back.sequence


def test_a_letter_that_installed_what_was_taken_back_meanwhile_is_followed_by_a_word_back(schools, release):
    # The old release came with the PC: no earlier rollout says what to go back to.
    rollout, school = _running(release_make(2), ALL), schools[0]
    school.running = release.digest
    node = Node.objects.get(pk=school.node_id)
    node.running = release.digest
    node.save()
    letter = assignment_word(node=node, key=trust_root.director_key(), now=timezone.now())
    carried = parse(AssignmentDocument, envelope_payload_unverified(bytes(letter.envelope), kind=ASSIGNMENT))
    rollout_roll_back(rollout=rollout, actor="a", reason="", now=timezone.now())
    school.running = rollout.release.digest
    school.check_in(school.report(carried, "committed"))
    back = school.word()
    assert (back.release, back.waiting_reason, back.is_forced) == (release.digest, "rolling_back", True)
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLING_BACK
    school.running = release.digest
    school.check_in()
    _tick(rollout)
    assert rollout.status == RolloutStatus.ROLLED_BACK


def test_a_planned_return_needs_a_release_that_schools_have_run(schools, release):
    _two_releases(schools, release)
    terms, waves, now = RolloutTerms(is_rollback=True), [WaveSpec(name="ҳама", percent=100)], timezone.now()
    rollout = rollout_create(release=release, waves=waves, creator="a", terms=terms, now=now)
    assert rollout.kind == RolloutKind.ROLLBACK
    with pytest.raises(ReleaseNeverRan):
        rollout_create(release=release_make(9), waves=waves, creator="a", terms=terms, now=now)
    assert Rollout.objects.filter(kind=RolloutKind.ROLLBACK).count() == 1


# Terms.


def test_the_terms_of_a_rollout_reach_the_school_signed(schools, release):
    terms = RolloutTerms(
        is_forced=True, activates_at=timezone.now() + DAY, window=(time(18, 30), time(6)), failure_budget=3
    )
    rollout = _running(release, ALL, terms=terms)
    word = schools[0].word()
    assert (word.is_forced, word.activates_at) == (True, rollout.activates_at)
    assert (word.opens_minute, word.closes_minute) == (18 * 60 + 30, 6 * 60)
    assert schools[0].word().sequence == word.sequence


def test_before_the_date_a_wave_is_not_judged_by_its_deadline(schools, release):
    rollout = _running(release, ALL, terms=RolloutTerms(activates_at=timezone.now() + 30 * DAY))
    schools[0].check_in(schools[0].report(schools[0].word(), "staged"))
    _tick(rollout, after=29 * DAY)
    assert (rollout.status, _waves(rollout)) == (RolloutStatus.RUNNING, ["open"])
    _tick(rollout, after=52 * DAY)
    assert _waves(rollout) == ["inconclusive"]


def test_hours_that_begin_and_end_together_are_refused(release):
    with pytest.raises(WindowInvalid):
        rollout_create(
            release=release,
            waves=[WaveSpec(name="ҳама", percent=100)],
            creator="a",
            terms=RolloutTerms(window=(time(6), time(6))),
            now=timezone.now(),
        )
    assert not Rollout.objects.exists()


# Who counts in a wave.


def test_a_school_counts_from_the_contact_after_the_offer_on(schools, release):
    """It cannot say before that how it went: one that comes weekly would hold up every wave for a week."""
    rollout = _running(release, ALL)
    now = timezone.now()
    word = schools[0].word()
    counts = wave_counts(rollout.waves.get(), now=now)
    assert (counts.contacted, counts.fresh) == (0, 1)
    schools[0].check_in(schools[0].report(word, "downloading"))
    counts = wave_counts(rollout.waves.get(), now=now)
    assert (counts.contacted, counts.fresh, counts.committed) == (1, 0, 0)


def test_a_school_that_was_offered_the_release_and_then_stays_away_unlike_itself_counts(schools, release):
    rollout = _running(release, ALL)
    schools[0].word()
    node = Node.objects.filter(pk=schools[0].node_id)
    node.update(contact_days=0b11111)
    counts = wave_counts(rollout.waves.get(), now=timezone.now() + 4 * DAY)
    assert (counts.contacted, counts.fresh, counts.silent) == (1, 0, 1)


def test_a_wave_passes_on_those_who_had_occasion_to_speak(schools, release):
    rollout = _running(release, ALL, rules=replace(RULES, pass_share=0.9, min_committed=2, soak=timedelta()))
    for each in schools[:2]:
        each.install()
    schools[2].word()
    _tick(rollout)
    assert (rollout.status, rollout.waves.get().counts["fresh"]) == (RolloutStatus.COMPLETED, 1)
