"""What a check-in costs the database does not depend on how many schools there are, and news alone take a lock."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.central import test_rollouts
from tests.central.seasons import season_small
from tests.central.test_rollout_targets import nodes_make

pytestmark = pytest.mark.django_db
LOCKING = ("BEGIN", "SAVEPOINT", "UPDATE", "INSERT")


def queries_of(school, **said):
    with CaptureQueriesContext(connection) as queries:
        school.check_in(**said)
    return [query["sql"] for query in queries]


@pytest.fixture
def settled(school):
    """Return a school that runs what was rolled out to it and has said so, in an open season."""
    base = test_rollouts.release_make(1)
    season_small(base=base)
    test_rollouts._running(base, "ҳама=100%")
    school.install()
    return school


def test_a_check_in_without_news_takes_as_many_queries_with_a_thousand_schools_as_with_one(settled):
    few = len(queries_of(settled))
    nodes_make(1000)
    assert len(queries_of(settled)) == few


def test_a_check_in_without_news_writes_one_row_and_opens_no_transaction(settled):
    queries_of(settled)
    writing = [sql for sql in queries_of(settled) if sql.startswith(LOCKING)]
    assert [sql.split()[1] for sql in writing] == ['"schools_node"']


def test_news_after_a_silent_check_in_are_heard(settled):
    queries_of(settled)
    newer = test_rollouts.release_make(2)
    test_rollouts._running(newer, "ҳама=100%")
    word = settled.word()
    assert word.release == newer.digest
    settled.running = newer.digest
    settled.check_in(settled.report(word, "committed"))
    assert newer.rollouts.get().assignments.get().status == "committed"


def test_a_silent_check_in_that_runs_another_release_is_a_fall_back(settled):
    settled.running = "f" * 64
    settled.check_in()
    assert settled.word().waiting_reason == "reverted_here"
    assert timezone.now() >= test_rollouts.Rollout.objects.get().assignments.get().ended_at
