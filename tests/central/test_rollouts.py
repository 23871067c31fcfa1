"""Rollouts: waves, silence, failures, and who may approve."""

from datetime import timedelta

import pytest
from django.utils import timezone

from central.releases.models import Release, ReleaseKindChoice
from central.rollouts.errors import ApproverIsCreator, ReleaseNotReady
from central.rollouts.membership import WaveScope, node_place, wave_of
from central.rollouts.models import Assignment, AssignmentStatus, Rollout, RolloutStatus, Wave
from central.rollouts.services import (
    DEFAULT_TERMS,
    rollout_abort,
    rollout_approve,
    rollout_create,
    rollout_resume,
    rollout_roll_back,
    rollout_submit,
    wave_extend,
    wave_override,
)
from central.rollouts.tick import rollout_tick
from central.rollouts.verdict import WaveCounts, WaveOutcome, WaveRules, wave_judge
from central.rollouts.wave_spec import wave_spec_read
from central.schools.models import AuditEvent
from central.schools.transitions import StatusConflict, StatusMoveIllegal

RULES = WaveRules(min_committed=1, pass_share=0.9, failures_allowed=0, soak=timedelta(0), deadline=timedelta(days=21))
WAVES = ("санҷиш=Мактаби №1", "ҳама=100%")


def release_make(version, **changes):
    digest = f"{version:064x}"
    fields = {
        "kind": ReleaseKindChoice.BASE,
        "version": version,
        "title": f"Soro {version}",
        "status": "ready",
        "digest": digest,
        "index_bytes": b"{}",
        "created_by": "test",
        "created_at": timezone.now(),
    }
    return Release.objects.create(**{**fields, **changes})


@pytest.fixture
def release(db):
    return release_make(1)


def _running(release, *waves, rules=RULES, creator="Гулнора", terms=DEFAULT_TERMS):
    now = timezone.now()
    specs = [wave_spec_read(wave) for wave in waves or WAVES]
    rollout = rollout_create(release=release, waves=specs, creator=creator, rules=rules, terms=terms, now=now)
    rollout_submit(rollout=rollout, actor=creator, now=now)
    rollout_approve(rollout=rollout, approver="Фирдавс", now=now)
    _tick(rollout)
    return rollout


def _tick(rollout, after=timedelta(0)):
    rollout_tick(rollout_id=rollout.pk, now=timezone.now() + after)
    rollout.refresh_from_db()


def _waves(rollout):
    return [wave.status for wave in rollout.waves.order_by("number")]


def test_two_waves_reach_both_schools_one_after_the_other(school, other_school, release):
    rollout = _running(release)
    assert _waves(rollout) == ["open", "pending"]
    assert school.word().release == release.digest
    waiting = other_school.word()
    assert (waiting.release, waiting.waiting_reason) == (None, "wave_not_open")
    school.install()
    _tick(rollout)
    assert _waves(rollout) == ["passed", "open"]
    assert other_school.install().wave == 2
    _tick(rollout)
    assert (_waves(rollout), rollout.status) == (["passed", "passed"], RolloutStatus.COMPLETED)
    assert [each.status for each in Assignment.objects.all()] == ["committed", "committed"]


def test_the_same_word_stays_the_same_bytes_and_a_new_word_has_a_higher_sequence(school, release):
    first = school.check_in().assignment
    assert school.check_in().assignment == first
    before = school.word().sequence
    _running(release)
    assert school.word().sequence == before + 1


def test_a_silent_school_is_neither_failure_nor_success(school, other_school, release):
    rollout = _running(release, "ҳама=100%")
    school.install()
    _tick(rollout)
    assert rollout.status == RolloutStatus.COMPLETED
    assert Assignment.objects.get(status="pending").node_id.hex == other_school.node_id.replace("-", "")


def test_silence_until_the_deadline_is_inconclusive_and_pauses(school, release):
    rollout = _running(release)
    _tick(rollout, after=timedelta(days=22))
    assert (rollout.status, rollout.pause_reason) == (RolloutStatus.PAUSED, "inconclusive")
    assert _waves(rollout) == ["inconclusive", "pending"]
    assert school.word().waiting_reason == "rollout_paused"


def test_an_inconclusive_wave_goes_on_only_by_a_persons_word(school, other_school, release):
    rollout = _running(release)
    _tick(rollout, after=timedelta(days=22))
    wave = rollout.waves.get(number=1)
    wave_override(wave=wave, actor="Фирдавс", reason="the school has no light", now=timezone.now())
    assert AuditEvent.objects.filter(actor="Фирдавс", reason__contains="no light").exists()
    rollout_resume(rollout=rollout, actor="Фирдавс", now=timezone.now())
    _tick(rollout)
    assert _waves(rollout) == ["passed", "open"]


def test_an_extended_wave_counts_its_deadline_from_then(school, release):
    rollout = _running(release)
    later = timezone.now() + timedelta(days=22)
    _tick(rollout, after=timedelta(days=22))
    wave_extend(wave=rollout.waves.get(number=1), actor="a", now=later)
    rollout_resume(rollout=rollout, actor="a", now=later)
    _tick(rollout, after=timedelta(days=23))
    assert (rollout.status, _waves(rollout)[0]) == (RolloutStatus.RUNNING, "open")


def test_a_revert_fails_the_wave_and_pauses_the_rollout(school, other_school, release):
    rollout = _running(release)
    word = school.word()
    school.check_in(school.report(word, "reverted", "self_test_failed"))
    _tick(rollout)
    assert (rollout.status, rollout.pause_reason, _waves(rollout)[0]) == ("paused", "error_threshold", "failed")
    assert other_school.word().release is None
    assert school.word().waiting_reason == "reverted_here"


def test_a_commit_that_the_node_does_not_run_is_not_believed(school, release):
    rollout = _running(release)
    word = school.word()
    school.check_in(school.report(word, "committed"))
    _tick(rollout)
    assert Assignment.objects.get(wave__number=1).status == AssignmentStatus.OFFERED
    school.running = release.digest
    school.check_in()
    assert Assignment.objects.get(wave__number=1).status == AssignmentStatus.COMMITTED


def test_a_node_that_falls_back_after_its_commit_counts_as_reverted(school, release):
    _running(release)
    school.install()
    school.running = "f" * 64
    school.check_in()
    assignment = Assignment.objects.get(node_id=school.node_id)
    assert (assignment.status, assignment.error_code) == ("reverted", "runs_another_release")


def test_a_newer_release_on_trial_does_not_revert_the_older_one(school, release):
    rollout = _running(release)
    school.install()
    _tick(rollout)
    newer = _running(release_make(2), "ҳама=100%")
    word = school.word()
    school.running = word.release
    school.check_in(school.report(word, "trial"))
    assert Assignment.objects.get(rollout=rollout).status == AssignmentStatus.COMMITTED
    school.check_in(school.report(word, "committed"))
    assert Assignment.objects.get(rollout=newer).status == AssignmentStatus.COMMITTED
    assert Assignment.objects.get(rollout=rollout).status == AssignmentStatus.SUPERSEDED


def test_old_and_impossible_reports_change_nothing(school, release):
    _running(release)
    word = school.word()
    school.check_in(school.report(word, "testing"))
    school.check_in(school.report(word, "downloading"))
    assert Assignment.objects.get().status == AssignmentStatus.TESTING


def test_a_rollback_names_the_older_release_under_a_higher_sequence(school, release):
    rollout = _running(release, "ҳама=100%")
    school.install()
    _tick(rollout)
    newer = _running(release_make(2), "ҳама=100%", rules=RULES)
    newer_word = school.install()
    rollout_roll_back(rollout=newer, actor="a", reason="", now=timezone.now())
    word = school.word()
    assert word.release == release.digest
    assert word.sequence > newer_word.sequence
    school.running = release.digest
    school.check_in()
    _tick(newer)
    assert newer.status == RolloutStatus.ROLLED_BACK


def test_an_abort_takes_the_offer_back_and_leaves_what_is_committed(school, other_school, release):
    rollout = _running(release, "ҳама=100%", rules=RULES)
    school.install()
    assert other_school.word().release == release.digest
    rollout_abort(rollout=rollout, actor="a", reason="", now=timezone.now())
    assert other_school.word().release is None
    assert school.word().release == release.digest
    assert sorted(Assignment.objects.values_list("status", flat=True)) == ["cancelled", "committed"]


def test_a_revoked_release_pauses_its_rollout_and_is_offered_to_nobody(school, release):
    rollout = _running(release)
    Release.objects.update(status="revoked")
    assert school.word().waiting_reason == "release_revoked"
    _tick(rollout)
    assert (rollout.status, rollout.pause_reason) == ("paused", "revoked")
    with pytest.raises(ReleaseNotReady):
        rollout_resume(rollout=rollout, actor="a", now=timezone.now())


def test_a_node_that_runs_a_withdrawn_release_is_sent_back_to_what_it_ran_before(school, release):
    _running(release)
    first = school.install()
    newer = release_make(2)
    rollout = _running(newer)
    school.install()
    Release.objects.filter(pk=newer.pk).update(status="revoked")
    _tick(rollout)

    word = school.word()
    assert (word.release, word.waiting_reason) == (release.digest, "release_revoked")
    assert word.sequence > first.sequence
    assert school.word() == word
    school.running = release.digest
    school.check_in(school.report(word, "committed"))

    assert school.word().release is None
    assert [(each.status, each.error_code) for each in Assignment.objects.filter(rollout=rollout)] == [
        ("reverted", "rolled_back")
    ]
    assert (rollout.status, rollout.pause_reason) == ("paused", "revoked")


def test_where_all_that_a_node_ran_before_is_withdrawn_the_base_of_its_adapter_is_left(school, release):
    adapters = [release_make(number, kind=ReleaseKindChoice.ADAPTER, base=release) for number in (2, 3)]
    for adapter in adapters:
        _running(adapter)
        school.install()
    Release.objects.filter(base=release).update(status="revoked")
    assert (school.word().release, school.word().waiting_reason) == (release.digest, "release_revoked")
    Release.objects.update(status="revoked")
    assert (school.word().release, school.word().waiting_reason) == (None, "release_revoked")


def test_a_withdrawn_release_that_a_node_does_not_run_sends_it_nowhere(school, release):
    _running(release)
    school.install()
    newer = release_make(2)
    _running(newer)
    school.word()
    Release.objects.filter(pk=newer.pk).update(status="revoked")
    assert (school.word().release, school.word().waiting_reason) == (None, "release_revoked")


def test_a_newer_release_goes_before_the_way_back(school, release):
    _running(release)
    school.install()
    withdrawn, newest = release_make(2), release_make(3)
    _running(withdrawn)
    school.install()
    Release.objects.filter(pk=withdrawn.pk).update(status="revoked")
    _running(newest)
    assert school.word().release == newest.digest


def test_a_node_that_comes_late_joins_the_wave_that_is_open_to_it(school, release, client):
    from tests.central.school import SimulatedSchool  # noqa: PLC0415 - only this test needs a third school

    rollout = _running(release, "ҳама=100%")
    school.install()
    _tick(rollout)
    late = SimulatedSchool.enrolled(client, name="Мактаби №3")
    assert late.word().release == release.digest


def test_nobody_approves_their_own_rollout(release):
    rollout = rollout_create(
        release=release, waves=[wave_spec_read("ҳама=100%")], creator="Гулнора", now=timezone.now()
    )
    rollout_submit(rollout=rollout, actor="Гулнора", now=timezone.now())
    with pytest.raises(ApproverIsCreator):
        rollout_approve(rollout=rollout, approver="Гулнора", now=timezone.now())
    rollout.refresh_from_db()
    assert (rollout.status, rollout.approved_by) == (RolloutStatus.PENDING_APPROVAL, "")


def test_an_unsigned_release_cannot_be_offered(db):
    unsigned = release_make(3, status="awaiting_signature")
    with pytest.raises(ReleaseNotReady):
        rollout_create(release=unsigned, waves=[wave_spec_read("ҳама=100%")], creator="a", now=timezone.now())
    assert not Rollout.objects.exists()


def test_of_two_pauses_at_once_one_is_told_that_it_came_second(school, release):
    first = _running(release)
    second = Rollout.objects.get()
    rollout_abort(rollout=first, actor="a", reason="", now=timezone.now())
    with pytest.raises(StatusConflict):
        rollout_abort(rollout=second, actor="b", reason="", now=timezone.now())
    with pytest.raises(StatusMoveIllegal):
        rollout_resume(rollout=first, actor="a", now=timezone.now())


def test_a_tick_run_twice_changes_nothing_the_second_time(school, release):
    rollout = _running(release)
    rows = (AuditEvent.objects.count(), list(Wave.objects.values()), list(Assignment.objects.values()))
    _tick(rollout)
    assert (AuditEvent.objects.count(), list(Wave.objects.values()), list(Assignment.objects.values())) == rows


def test_success_must_last_for_the_soak():
    now = timezone.now()
    rules = WaveRules(
        min_committed=1, pass_share=0.9, failures_allowed=0, soak=timedelta(hours=1), deadline=timedelta(days=1)
    )
    counts = WaveCounts(nodes=1, contacted=1, committed=1, failed=0)

    def outcome(since):
        return wave_judge(counts=counts, rules=rules, opened_at=now, soaking_since=since, now=now).outcome

    assert outcome(None) is WaveOutcome.SOAKING
    assert outcome(now - timedelta(minutes=59)) is WaveOutcome.SOAKING
    assert outcome(now - timedelta(minutes=60)) is WaveOutcome.PASSED


def test_shares_are_cumulative_and_differ_from_rollout_to_rollout():
    waves = [
        WaveScope(number=1, school_ids=frozenset({7})),
        WaveScope(number=2, place_below=10.0),
        WaveScope(number=3, place_below=100.0),
    ]
    numbers = [wave_of(node_id=str(n), school_id=7 if n == 0 else 1, rollout_id=1, waves=waves) for n in range(2000)]
    assert numbers[0] == 1
    assert 140 <= numbers.count(2) <= 260
    assert numbers.count(3) == 2000 - 1 - numbers.count(2)
    assert node_place(node_id="x", rollout_id=1) != node_place(node_id="x", rollout_id=2)
