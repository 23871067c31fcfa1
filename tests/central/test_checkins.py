"""One request, one answer: what a node says of itself is kept, and what it has is not sent again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from central.schools.models import Node
from central.trust_root import director_key
from federation.trust.envelopes import ASSIGNMENT, envelope_open
from federation.trust.tuf_publisher import timestamp_refresh
from federation.wire.canonical import parse, sha256_hex
from federation.wire.releases import Assignment
from tests.central import test_rollouts
from tests.central.seasons import season_small

pytestmark = pytest.mark.django_db


def word_of(answer):
    return parse(Assignment, envelope_open(answer.assignment, kind=ASSIGNMENT, key=director_key().public_key()))


def test_what_is_wrong_at_a_school_and_how_far_its_clock_is_off_are_kept(school):
    school.check_in(problems=("disk_full", "release_damaged"), sent_at=timezone.now() - timedelta(hours=2))
    node = Node.objects.get()
    assert node.problems == ["disk_full", "release_damaged"]
    assert -7260 < node.clock_ahead_seconds < -7190
    school.check_in()
    assert Node.objects.get().problems == []


def test_an_assignment_that_the_node_has_is_not_sent_again_and_a_new_one_is(school):
    held = school.check_in().assignment
    had = {"assignment_sequence": 1, "assignment_sha256": sha256_hex(held)}
    assert school.check_in(**had).assignment is None
    test_rollouts._running(test_rollouts.release_make(1))
    answer = school.check_in(**had)
    assert word_of(answer).sequence == 2
    assert school.check_in(**had).assignment == answer.assignment


def test_a_centre_that_was_restored_says_its_word_above_what_its_nodes_have_seen(school):
    school.check_in()
    answer = school.check_in(assignment_sequence=41, assignment_sha256="f" * 64)
    assert word_of(answer).sequence == 42
    assert word_of(school.check_in(assignment_sequence=2**63 - 1)).sequence <= 2**62 + 1


def test_a_plan_that_the_node_has_is_not_sent_again(school):
    season = season_small()
    school.running, plan = season.base.digest, season.plans.get()
    assert school.check_in().round_plan == bytes(plan.envelope)
    assert school.check_in(plan_id=plan.plan_id).round_plan is None
    assert school.check_in(plan_id="an older one").round_plan == bytes(plan.envelope)


def test_the_answer_names_the_newest_metadata(school, disk):
    before = school.check_in().metadata_version
    timestamp_refresh(root=disk.tuf, keys=disk.keys, now=timezone.now())
    after = school.check_in().metadata_version
    assert [version.split(".")[0] for version in (before, after)] == ["1", "1"]
    assert int(after.split(".")[1]) > int(before.split(".")[1])


def test_a_database_that_was_put_back_knows_it_by_what_its_nodes_have_heard(school):
    answers = [school.check_in(number=number, heard_number=number - 1) for number in (1, 2, 3)]
    assert [(answer.heard_number, answer.restored_number) for answer in answers] == [(1, 0), (2, 0), (3, 0)]
    Node.objects.update(checkin_number=1)
    answer = school.check_in(number=4, heard_number=3)
    assert (answer.heard_number, answer.restored_number) == (4, 4)
    # An answer that was lost on the way is told again, by the same number.
    assert school.check_in(number=5, heard_number=3).restored_number == 4
    assert school.check_in(number=6, heard_number=5).restored_number == 4


def test_a_database_of_before_the_first_check_in_knows_it_too(school):
    school.check_in(number=1)
    Node.objects.update(checkin_number=0, epoch="")
    assert school.check_in(number=2, heard_number=1).restored_number == 2


def test_a_node_that_was_restored_itself_says_nothing_of_the_centre(school):
    Node.objects.update(checkin_number=9, epoch=school.epoch, restored_number=7)
    school.epoch = "epoch-2"
    answer = school.check_in(number=3)
    assert (answer.heard_number, answer.restored_number) == (3, 0)
