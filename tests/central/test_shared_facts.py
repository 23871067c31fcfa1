"""What all schools share is kept while its tables stay the same, and never longer."""

import pytest
from django.db import connection, transaction
from django.utils import timezone

from central.releases.models import Release
from central.rollouts.models import Rollout
from central.rollouts.shared import rollouts_shared
from central.schools.facts_triggers import facts_tables
from central.schools.models import FactsVersion, School
from central.schools.shared_facts import SharedFacts
from central.training.models import OptOut, Round
from tests.central.seasons import season_small
from tests.central.test_rollouts import release_make

pytestmark = pytest.mark.django_db


def _number():
    return FactsVersion.objects.get().number


@pytest.fixture
def read():
    """Something shared, and how often it was read."""
    times = []
    facts = SharedFacts(lambda: times.append(1) or list(Release.objects.values_list("version", flat=True)))
    return facts, times


def test_facts_are_read_once_until_a_table_changes(read):
    facts, times = read
    assert (facts.now(), facts.now(), len(times)) == ([], [], 1)
    release_make(1)
    assert (facts.now(), facts.now(), len(times)) == ([1], [1], 2)
    Release.objects.update(version=7)
    assert facts.now() == [7]
    Release.objects.all().delete()
    assert facts.now() == []


def test_after_a_rollback_nothing_of_it_is_remembered(read):
    facts, _ = read
    release_make(1)
    before = _number()
    with transaction.atomic():
        release_make(2)
        assert sorted(facts.now()) == [1, 2]
        transaction.set_rollback(True)
    assert (_number(), facts.now()) == (before, [1])
    release_make(3)
    assert sorted(facts.now()) == [1, 3]


def test_without_its_number_nothing_is_kept(read):
    facts, times = read
    FactsVersion.objects.all().delete()
    assert (facts.now(), facts.now(), len(times)) == ([], [], 2)


def test_every_table_that_the_kept_facts_are_read_from_draws_a_new_number():
    read_from = {
        "programs_program", "programs_program_schools",
        "releases_release", "releases_releasevariant", "rollouts_rollout", "rollouts_wave", "rollouts_wave_schools",
        "training_optout", "training_plan", "training_round", "training_season",
    }  # fmt: skip
    assert facts_tables().keys() == read_from
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'facts_version'")
            guarded = {row[0] for row in cursor.fetchall()}
        else:
            cursor.execute(
                "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_facts_version_%'"
            )
            guarded = {row[0] for row in cursor.fetchall()}
    assert guarded == read_from


def test_a_rounds_sign_of_life_says_nothing_to_schools(keys):
    season_small(base=release_make(1), wanted=1)
    before = _number()
    Round.objects.update(attempt_at=timezone.now())
    assert _number() == before
    Round.objects.update(release=None)
    assert _number() != before


def test_a_school_that_withdraws_is_known_at_once():
    before = _number()
    OptOut.objects.create(school=School.objects.create(name="a", created_at=timezone.now()), at=timezone.now())
    assert _number() != before


def test_kept_rollouts_are_those_that_have_started():
    assert rollouts_shared.now().newest == {}
    Rollout.objects.create(release=release_make(1), created_by="a", created_at=timezone.now())
    assert rollouts_shared.now().newest == {}
    Rollout.objects.update(status="running", started_at=timezone.now())
    assert [each.rollout.status for each in rollouts_shared.now().joinable] == ["running"]
