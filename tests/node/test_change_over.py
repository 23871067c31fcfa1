"""When a school changes over: dates and hours that the ministry sets, kept with and without a link."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from federation.trust.release_bytes import index_digest
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.releases import Assignment, InstallState
from node.installed.disk import release_path
from node.installed.models import InstallRecord
from node.installed.self_test import SelfTestVerdict
from node.installed.services import superseded_remove, trial_commit
from node.installed.state import Phase, slots_read
from node.sync.change_over import link_rule_under, may_change_over, staged_change_over
from node.sync.enrol import enrolment_read
from node.sync.link_rule import LinkRule
from node.sync.services import Contact
from node.sync.transport import http_client
from tests.node.test_sync import NO_WAITING, package

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 9, 1, 7, 0, tzinfo=UTC)
GOOD = SelfTestVerdict(has_passed=True, code="", detail="")


def _word(**changes):
    fields = {
        "node_id": "n",
        "sequence": 1,
        "release": "a" * 64,
        "rollout": "1",
        "wave": 1,
        "waiting_reason": "",
        "issued_at": NOON,
        "variant": "",
    }
    return Assignment(**{**fields, **changes})


def _contact(root, *, at=None):
    http, counter = http_client()
    with http:
        return Contact(
            root=root,
            http=http,
            counter=counter,
            clock=lambda: at or timezone.now(),
            times=NO_WAITING,
            self_test=lambda *_paths: GOOD,
        ).hold()


def _assign(centre, school, tmp_path, **change_over):
    index = centre.publish(package(tmp_path))
    digest = index_digest(index)
    centre.assign(node_id=enrolment_read(school).node_id, sequence=1, release=digest, **change_over)
    return digest


@pytest.mark.parametrize(
    ("word", "has_release", "here", "may"),
    [
        ({}, True, time(12), True),
        ({"activates_at": NOON + timedelta(days=1)}, True, time(12), False),
        ({"activates_at": NOON + timedelta(days=1), "is_forced": True}, False, time(12), False),
        ({"activates_at": NOON}, True, time(12), True),
        ({"opens_minute": 18 * 60, "closes_minute": 6 * 60}, True, time(12), False),
        ({"opens_minute": 18 * 60, "closes_minute": 6 * 60}, True, time(5, 59), True),
        ({"opens_minute": 18 * 60, "closes_minute": 6 * 60}, True, time(6), False),
        ({"opens_minute": 18 * 60, "closes_minute": 6 * 60, "is_forced": True}, True, time(12), True),
        ({"opens_minute": 18 * 60, "closes_minute": 6 * 60}, False, time(12), True),
    ],
)
def test_a_date_binds_always_and_hours_bind_a_pc_that_has_something_to_interrupt(word, has_release, here, may):
    assert may_change_over(_word(**word), has_release=has_release, now=NOON, here=here) is may


def test_an_assignment_of_an_older_centre_changes_over_at_once():
    plain = {name: value for name, value in vars_of(_word()).items() if name not in NEW_FIELDS}
    word = parse(Assignment, canonical_bytes(plain))
    assert may_change_over(word, has_release=True, now=NOON, here=time(12))


NEW_FIELDS = {"is_forced", "activates_at", "opens_minute", "closes_minute"}


def vars_of(word):
    return {name: getattr(word, name) for name in Assignment.__dataclass_fields__}


def test_a_forced_release_ignores_the_heads_hours_and_never_the_cap():
    rule = LinkRule(cap_kbit_s=64, opens_at=time(20), closes_at=time(21))
    assert link_rule_under(_word(), rule) == rule
    assert link_rule_under(_word(is_forced=True), rule) == LinkRule(cap_kbit_s=64)


def test_until_the_date_the_release_is_only_fetched_and_the_centre_hears_that(school, centre, tmp_path):
    digest = _assign(centre, school, tmp_path, activates_at=timezone.now() + timedelta(days=30))
    assert tuple(_contact(school).failures) == ()
    assert [report.state for report in centre.check_ins[-1].installs] == [InstallState.STAGED]
    assert slots_read(school).phase is Phase.EMPTY
    assert release_path(school, digest).is_dir()


def test_while_it_waits_for_its_date_a_contact_is_one_request(school, centre, tmp_path):
    _assign(centre, school, tmp_path, activates_at=timezone.now() + timedelta(days=30))
    _contact(school)
    centre.requests.clear()
    _contact(school)
    assert centre.requests == ["POST /api/v1/check-ins"]


def test_on_the_date_it_changes_over_without_any_link(school, centre, tmp_path):
    date = timezone.now() + timedelta(days=30)
    digest = _assign(centre, school, tmp_path, activates_at=date)
    _contact(school)
    too_early = {"root": school, "clock": lambda: date - timedelta(seconds=1), "self_test": lambda *_paths: GOOD}
    assert not staged_change_over(**too_early)
    assert slots_read(school).current is None
    assert staged_change_over(**{**too_early, "clock": lambda: date})
    assert trial_commit(root=school, now=date)
    assert (slots_read(school).current, slots_read(school).phase) == (digest, Phase.COMMITTED)
    assert not staged_change_over(**{**too_early, "clock": lambda: date})


def test_a_staged_release_that_fails_its_test_on_the_date_leaves_what_ran(school, centre, tmp_path):
    date = timezone.now() + timedelta(days=30)
    _assign(centre, school, tmp_path, activates_at=date)
    _contact(school)
    bad = SelfTestVerdict(has_passed=False, code="self_test_failed", detail="")
    assert not staged_change_over(root=school, clock=lambda: date, self_test=lambda *_paths: bad)
    assert (InstallRecord.objects.get().status, slots_read(school).current) == ("reverted", None)


def test_what_is_staged_outlives_a_pause_of_its_rollout_but_not_for_ever(school, centre, tmp_path):
    digest = _assign(centre, school, tmp_path, activates_at=timezone.now() + timedelta(days=30))
    _contact(school)
    superseded_remove(root=school, assigned=None, now=timezone.now() + timedelta(days=13))
    assert release_path(school, digest).is_dir()
    superseded_remove(root=school, assigned=None, now=timezone.now() + timedelta(days=15))
    assert not release_path(school, digest).exists()
