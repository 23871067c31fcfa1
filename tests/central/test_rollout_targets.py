"""Who gets a release: targets, counted waves, schools that come late, older rollouts beside newer ones, the preview."""

import json
from dataclasses import asdict
from datetime import time, timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from central.releases.models import Release
from central.rollouts.errors import FilterNameTaken
from central.rollouts.models import Assignment, Rollout, RolloutStatus, SchoolFilter
from central.rollouts.planning import school_filter_delete, school_filter_save
from central.rollouts.preview import SkipReason, rollout_preview
from central.rollouts.services import rollout_approve, rollout_create, rollout_submit
from central.rollouts.targeting import Target
from central.rollouts.terms import RolloutTerms
from central.rollouts.wave_spec import WaveSpec, wave_spec_read
from central.schools.models import Node, NodeStatus, School
from central.schools.school_list import school_list_read, school_list_take_in
from federation.wire.canonical import canonical_bytes
from federation.wire.releases import CHUNK_BYTES, FileEntry, ReleaseIndex, ReleaseKind
from tests.central.school import HARDWARE, SimulatedSchool
from tests.central.test_rollouts import RULES, _running, _tick, _waves, release_make

ALL = "ҳама=100%"


@pytest.fixture
def release(db):
    return release_make(1)


def nodes_make(count, *, region="Хатлон", rhythm=0b11111, **marks):
    """Make active PCs, each in a school of its own, as if they had been here for long."""
    now = timezone.now()
    first = School.objects.count()
    schools = School.objects.bulk_create(
        [
            School(name=f"Мактаби {number}", region=region, created_at=now, **marks)
            for number in range(first, first + count)
        ]
    )
    return Node.objects.bulk_create(
        [
            Node(
                school=school,
                status=NodeStatus.ACTIVE,
                public_key=f"key of {school.name}",
                hardware=asdict(HARDWARE),
                created_at=now,
                claimed_at=now - timedelta(days=90),
                last_contact_at=now,
                contact_days=rhythm,
            )
            for school in schools
        ]
    )


def release_of_bytes(version, size_bytes, **changes):
    chunks = ("0" * 64,) * -(-size_bytes // CHUNK_BYTES)
    entry = FileEntry(path="weights", size_bytes=size_bytes, sha256="0" * 64, chunks=chunks, tensors=())
    kind = ReleaseKind(changes.get("kind", "base"))
    base = changes["base"].digest if changes.get("base") else None
    index = ReleaseIndex(kind=kind, version=version, title="", base=base, files=(entry,), contributions=())
    return release_make(version, index_bytes=canonical_bytes(index), **changes)


def _in_waves(rollout):
    waves = {wave.number: set() for wave in rollout.waves.all()}
    for node, number in rollout.assignments.values_list("node", "wave__number"):
        waves[number].add(str(node))
    return waves


# Targets and waves.


def test_a_target_keeps_every_other_school_out_and_tells_it_so(school, other_school, release):
    School.objects.filter(name="Мактаби №2").update(region="Суғд")
    rollout = _running(release, ALL, terms=RolloutTerms(target=Target(regions=("Суғд",))))
    assert [str(each.node_id) for each in rollout.assignments.all()] == [other_school.node_id]
    assert (school.word().release, school.word().waiting_reason) == (None, "not_in_a_wave")


def test_waves_by_number_and_share_divide_all_pcs_and_none_twice(release):
    nodes_make(60)
    rollout = _running(release, "аввал=+5", "дуюм=50%", ALL)
    assert len(_in_waves(rollout)[1]) == 5
    while rollout.status == RolloutStatus.RUNNING:
        Assignment.objects.filter(status="pending").update(status="offered", sequence=1)
        Assignment.objects.filter(status="offered").update(status="committed")
        _tick(rollout)
    waves = _in_waves(rollout)
    assert rollout.status == RolloutStatus.COMPLETED
    assert (len(waves[1]), sum(map(len, waves.values()))) == (5, 60)
    assert 20 <= len(waves[1]) + len(waves[2]) <= 40


def test_schools_that_come_later_change_nobody_elses_wave(release):
    nodes_make(40)
    rollout = _running(release, "аввал=+5", "дуюм=50%", ALL)
    before = rollout_preview(rollout=_with_index(rollout), now=timezone.now())
    nodes_make(40)
    after = rollout_preview(rollout=rollout, now=timezone.now())
    for old, new in zip(before.waves, after.waves, strict=True):
        assert {each.node_id for each in old.nodes} <= {each.node_id for each in new.nodes}


def _with_index(rollout):
    empty = ReleaseIndex(kind=ReleaseKind.BASE, version=1, title="", base=None, files=(), contributions=())
    Release.objects.filter(pk=rollout.release_id).update(index_bytes=canonical_bytes(empty))
    rollout.refresh_from_db()
    return rollout


@pytest.mark.parametrize(
    ("text", "spec"), [("a=+50", WaveSpec(name="a", count=50)), ("a=5%", WaveSpec(name="a", percent=5))]
)
def test_a_wave_is_asked_for_by_number_or_share(text, spec):
    assert wave_spec_read(text) == spec


# Late schools.


def test_a_late_school_joins_the_last_open_wave_of_a_share(school, release, client):
    nodes_make(20)
    rollout = _running(release, "аввал=50%", ALL)
    late = [SimulatedSchool.enrolled(client, name=f"нав {number}") for number in range(6)]
    assert {each.word().release for each in late} == {release.digest}
    assert set(rollout.assignments.filter(node__in=[each.node_id for each in late]).values_list("wave__number")) == {
        (1,)
    }


def test_a_late_school_gets_the_older_release_while_the_newer_one_is_with_counted_canaries(school, release, client):
    older = _running(release, ALL)
    school.install()
    _tick(older)
    newer = _running(release_make(2), "аввал=+1", ALL)
    late = SimulatedSchool.enrolled(client, name="нав")
    word = late.word()
    assert (word.release, word.rollout) == (release.digest, str(older.pk))
    assert word.waiting_reason == "wave_not_open"
    assert newer.assignments.count() == 1


def test_a_school_that_was_already_here_does_not_join_before_its_own_wave(school, other_school, release):
    _running(release, "аввал=Мактаби №1", ALL)
    assert other_school.word().release is None
    assert Assignment.objects.count() == 1


def test_a_late_school_joins_no_paused_rollout(school, release, client):
    rollout = _running(release, ALL)
    word = school.word()
    school.check_in(school.report(word, "reverted", "self_test_failed"))
    late = SimulatedSchool.enrolled(client, name="нав")
    assert late.word().release is None
    assert rollout.assignments.count() == 1


# Two rollouts at once.


def test_a_later_rollout_is_not_undone_by_the_next_wave_of_an_older_one(school, other_school, release):
    older = _running(release, "аввал=Мактаби №1", ALL)
    newer = _running(release_make(2), "дуюм=Мактаби №2")
    word = other_school.word()
    assert word.rollout == str(newer.pk)
    school.install()
    _tick(older)
    assert _waves(older)[0] == "passed"
    assert other_school.word().sequence == word.sequence
    assert list(Assignment.objects.filter(node=other_school.node_id).values_list("rollout")) == [(newer.pk,)]


def test_of_two_rollouts_the_one_that_started_last_counts_not_the_one_that_was_made_last(school, release):
    specs = [WaveSpec(name="ҳама", percent=100)]
    made_first = rollout_create(release=release, waves=specs, creator="Гулнора", rules=RULES, now=timezone.now())
    _running(release_make(2), ALL)
    school.install()
    rollout_submit(rollout=made_first, actor="Гулнора", now=timezone.now())
    rollout_approve(rollout=made_first, approver="Фирдавс", now=timezone.now())
    _tick(made_first)
    assert school.word().rollout == str(made_first.pk)


# The preview.


def test_the_preview_shows_the_very_waves_that_open(release):
    nodes_make(50)
    rollout = _running(release_of_bytes(2, 1000), "аввал=+7", "дуюм=40%", ALL)
    draft = rollout_create(
        release=release_of_bytes(3, 1000),
        waves=[wave_spec_read(text) for text in ("аввал=+7", "дуюм=40%", ALL)],
        creator="a",
        rules=RULES,
        now=timezone.now(),
    )
    preview = rollout_preview(rollout=draft, now=timezone.now())
    assert len(preview.waves[0].nodes) == 7
    assert sum(len(wave.nodes) for wave in preview.waves) == 50
    shown = rollout_preview(rollout=rollout, now=timezone.now())
    assert {each.node_id for each in shown.waves[0].nodes} == _in_waves(rollout)[1]


def test_the_preview_says_who_gets_nothing_and_why(release):
    nodes_make(2)
    (outside,) = nodes_make(1, region="Суғд")
    suspended, other = nodes_make(2)
    Node.objects.filter(pk=suspended.pk).update(status=NodeStatus.SUSPENDED)
    School.objects.create(name="бе компютер", created_at=timezone.now())
    draft = rollout_create(
        release=release_of_bytes(2, 1000),
        waves=[WaveSpec(name="рӯйхат", schools=(other.school,))],
        creator="a",
        terms=RolloutTerms(target=Target(regions=("Хатлон",))),
        now=timezone.now(),
    )
    preview = rollout_preview(rollout=draft, now=timezone.now())
    assert [each.node_id for each in preview.waves[0].nodes] == [str(other.pk)]
    reasons = {each.node_id: each.reason for each in preview.skipped}
    assert reasons[str(outside.pk)] is SkipReason.NOT_TARGETED
    assert reasons[str(suspended.pk)] is SkipReason.NOT_ACTIVE
    assert reasons[""] is SkipReason.NO_PC
    assert list(reasons.values()).count(SkipReason.IN_NO_WAVE) == 2


def test_the_preview_counts_the_base_only_where_it_is_missing_and_days_by_each_rhythm(db):
    base = release_of_bytes(1, 58_000_000)
    adapter = release_of_bytes(2, 1_000_000, kind="adapter", base=base)
    (daily,) = nodes_make(1)
    (weekly,) = nodes_make(1, rhythm=sum(1 << 7 * week for week in range(5)))
    Node.objects.filter(pk=daily.pk).update(running=base.digest)
    draft = rollout_create(release=adapter, waves=[WaveSpec(name="ҳама", percent=100)], creator="a", now=timezone.now())
    (wave,) = rollout_preview(rollout=draft, now=timezone.now()).waves
    planned = {each.node_id: (each.size_bytes, each.days) for each in wave.nodes}
    assert planned == {str(daily.pk): (1_000_000, 1.0), str(weekly.pk): (59_000_000, 21.0)}
    assert wave.size_bytes == 60_000_000


def test_the_preview_takes_no_more_queries_for_more_schools(release, django_assert_max_num_queries):
    draft = rollout_create(
        release=release_of_bytes(2, 10), waves=[wave_spec_read(ALL)], creator="a", now=timezone.now()
    )
    nodes_make(150)
    with django_assert_max_num_queries(20):
        preview = rollout_preview(rollout=draft, now=timezone.now())
    assert len(preview.waves[0].nodes) == 150


def test_opening_a_wave_takes_no_more_queries_for_more_schools(release, django_assert_max_num_queries):
    nodes_make(150)
    with django_assert_max_num_queries(60):
        rollout = _running(release, ALL)
    assert rollout.assignments.count() == 150


# By command.


def test_a_rollout_is_planned_with_its_terms_and_previewed_by_command(db, capsys):
    nodes_make(3)
    nodes_make(2, region="Суғд")
    release = release_of_bytes(1, 2_000_000)
    words = ["--release", release.digest, "--wave", "аввал=+1", "--wave", ALL, "--creator", "a", "--json"]
    terms = [
        "--region",
        "Хатлон",
        "--hardware",
        "medium",
        "--activates-at",
        "2026-12-01T08:00",
        "--hours",
        "18:00-06:00",
    ]
    call_command("rollout_create", *words, *terms, "--forced", "--failure-budget", "4")
    rollout = Rollout.objects.get(pk=json.loads(capsys.readouterr().out)["id"])
    assert rollout.target() == Target(regions=("Хатлон",), hardware=("medium",))
    assert timezone.localtime(rollout.activates_at).isoformat(timespec="minutes") == "2026-12-01T08:00+05:00"
    assert (rollout.window_opens_at, rollout.window_closes_at) == (time(18), time(6))
    assert (rollout.is_forced, rollout.failure_budget, rollout.status) == (True, 4, "pending_approval")
    call_command("rollout_preview", "--rollout", str(rollout.pk))
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "1. аввал: 1 PCs, 2.0 MB in all, half of them in 1 days, nine in ten in 1"
    assert shown[1].startswith("2. ҳама: 2 PCs, 4.0 MB")
    assert shown[2] == "not at all, not_targeted: 2"


# Filters and lists of schools.


def test_a_rollout_keeps_its_own_copy_of_the_filter_that_it_was_planned_by(release):
    saved = school_filter_save(name="деҳот", target=Target(tags=("деҳот",)), actor="a", now=timezone.now())
    with pytest.raises(FilterNameTaken):
        school_filter_save(name="деҳот", target=Target(), actor="a", now=timezone.now())
    draft = rollout_create(
        release=release,
        waves=[wave_spec_read(ALL)],
        creator="a",
        terms=RolloutTerms(target=saved.target()),
        now=timezone.now(),
    )
    school_filter_delete(saved=saved, actor="a", now=timezone.now())
    draft.refresh_from_db()
    assert draft.target() == Target(tags=("деҳот",))
    assert not SchoolFilter.objects.exists()


def test_a_list_of_schools_brings_kinds_and_tags_and_one_without_these_columns_leaves_them(db):
    whole = "name;region;district;kind;tags\nА;Хатлон;Восеъ;гимназия;деҳот| таҷрибавӣ\nБ;Суғд;;литсей;\n".encode()
    first = school_list_take_in(schools=school_list_read(whole), actor="test", now=timezone.now())
    school = School.objects.get(name="А")
    assert (first.added, school.kind, [tag.name for tag in school.tags.all()]) == (
        2,
        "гимназия",
        ["деҳот", "таҷрибавӣ"],
    )
    again = school_list_take_in(schools=school_list_read(whole), actor="test", now=timezone.now())
    assert (again.added, again.changed, again.unchanged) == (0, 0, 2)
    short = "name,region,district\nА,Хатлон,Восеъ\n".encode()
    assert school_list_take_in(schools=school_list_read(short), actor="test", now=timezone.now()).unchanged == 1
    assert School.objects.get(name="А").tags.count() == 2
    bare = "name,region,district,tags\nА,Хатлон,Восеъ,\n".encode()
    assert school_list_take_in(schools=school_list_read(bare), actor="test", now=timezone.now()).changed == 1
    assert School.objects.get(name="А").tags.count() == 0
    assert School.objects.get(name="А").kind == "гимназия"
