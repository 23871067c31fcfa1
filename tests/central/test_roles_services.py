"""What services refuse to people out of their region, whichever door they come by."""

from functools import partial

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from central.courier.services import stick_import, stick_pack
from central.feedback.clones import alarm_close, alarm_replace
from central.feedback.erasure import school_ratings_erase, teacher_ratings_erase
from central.feedback.models import CloneAlarm, Rating
from central.feedback.review import rating_accept, rating_erase, rating_reject
from central.releases.models import ReleaseKindChoice
from central.releases.services import release_deprecate, release_draft_create, release_revoke, release_sign
from central.rollouts.models import Rollout, SchoolFilter, Wave
from central.rollouts.planning import (
    rollout_create,
    rollout_replan,
    school_filter_change,
    school_filter_delete,
    school_filter_save,
)
from central.rollouts.services import budget_raise, rollout_abort, rollout_approve, rollout_submit
from central.rollouts.targeting import Target
from central.rollouts.terms import RolloutTerms
from central.rollouts.wave_spec import WaveSpec
from central.schools.accounts import UserExists, account_change, account_create
from central.schools.errors import AccountRegionWrong, NameReserved, OutsideRegion, RoleReadsOnly
from central.schools.invitations import node_reinvite, school_invite, sheets_print
from central.schools.models import Node, School
from central.schools.reach import reach_of
from central.schools.roles import ACCOUNTS, Role, permissions_of
from central.schools.school_list import ListedSchool, school_list_take_in
from central.schools.services import node_activate, node_revoke, node_suspend, school_save
from central.training.models import OptOut, Update
from central.training.quarantine import update_reject, update_release
from central.training.rounds import round_abandon, round_combine_now
from central.training.seasons import season_close, season_open
from central.training.withdrawal import school_readmit, school_withdraw
from central.trust_root import director_key
from tests.central.regions import OTHER, OWN, account, country
from tests.central.seasons import SIZES, collecting
from tests.central.test_roles_pages import database
from tests.central.test_rollouts import release_make

NAMES = {Role.REGIONAL_ADMIN: OutsideRegion, Role.AUDITOR: RoleReadsOnly, Role.REVIEWER: RoleReadsOnly}


@pytest.fixture
def world(keys, db):
    return country()


def calls(world, disk):
    """Return one call of every service that a person has, on another region's rows or on the whole country's."""
    regions, shared = world
    other, now = regions[OTHER], timezone.now()
    node, school = other.node, other.school
    by = {"now": now}
    because = {"reason": "x", **by}
    update, alarm, season = (
        Update.objects.get(node=node),
        CloneAlarm.objects.get(node=node),
        Update.objects.first().plan.season,
    )
    moved = School.objects.get(pk=regions[OWN].school.pk)
    moved.region = OTHER
    listed = ListedSchool(name=school.name, region=OWN, district="")
    wave, release = [WaveSpec(name="a", schools=[school])], shared.release
    reaches = [
        rollout_create(release=release, waves=waves, terms=terms, creator="test", now=now)
        for waves, terms in (
            ([WaveSpec(name="share", percent=10)], RolloutTerms()),
            ([WaveSpec(name="share", percent=10)], RolloutTerms(target=Target(regions=(OWN, OTHER)))),
        )
    ]
    asking = [
        *(partial(each, node=node, **because) for each in (node_suspend, node_revoke, node_activate)),
        partial(node_reinvite, node=node, render=lambda _drawn: b"", **because),
        partial(school_save, school=school, **by),
        partial(school_save, school=moved, **by),
        partial(school_save, school=School(name="new", region=""), **by),
        partial(school_invite, name=school.name, region=OWN, **by),
        partial(school_invite, name="new", region=OTHER, **by),
        partial(sheets_print, schools=[regions[OWN].school, school], render=lambda _drawn: b"", **by),
        partial(school_list_take_in, schools=[listed], **by),
        partial(school_list_take_in, schools=[ListedSchool(name="new", region=OTHER, district="")], **by),
        partial(alarm_close, alarm=alarm, **by),
        partial(alarm_replace, alarm=alarm, render=lambda _drawn: b"", **by),
        partial(school_withdraw, school=school, disk=disk, **because),
        partial(school_readmit, school=school, **because),
        partial(update_release, update=update, **because),
        partial(update_reject, update=update, disk=disk, **because),
        partial(round_abandon, round_=collecting(season), **because),
        partial(round_combine_now, round_=collecting(season), **by),
        partial(season_close, season=season, **because),
        partial(season_open, base=release, slot_sizes=SIZES, wanted=1, key=director_key(), **by),
        partial(release_draft_create, kind=ReleaseKindChoice.BASE, title="x", **by),
        partial(release_sign, release=release_make(7, status="awaiting_signature"), disk=disk, **by),
        partial(release_deprecate, release=release, **by),
        partial(release_revoke, release=release, disk=disk, **because),
        *(partial(rollout_submit, rollout=each, **by) for each in (other.rollout, shared, *reaches)),
        partial(rollout_abort, rollout=shared, **because),
        partial(budget_raise, rollout=shared, failure_budget=9, **because),
        partial(stick_pack, nodes=Node.objects.all(), disk=disk, key=director_key(), **by),
        partial(school_filter_delete, saved=SchoolFilter.objects.get(), **by),
        partial(school_filter_change, saved=SchoolFilter.objects.get(), name="x", target=Target(), **by),
        partial(rollout_replan, rollout=shared, release=release, waves=wave, **by),
        partial(rollout_replan, rollout=regions[OWN].rollout, release=release, waves=wave, **by),
        partial(school_ratings_erase, school=school, **because),
        partial(teacher_ratings_erase, teacher=Rating.objects.get(node=node).teacher, **because),
        partial(account_create, username="x", role=Role.NATIONAL_ADMIN, region="", **by),
    ]
    named = [
        partial(rollout_create, release=release, waves=wave, now=now),
        partial(rollout_create, release=release, waves=[WaveSpec(name="a", percent=10)], now=now),
    ]
    return asking, named


@pytest.mark.parametrize("role", NAMES)
def test_no_service_moves_what_lies_out_of_a_persons_reach(world, disk, role):
    account("person", role, OWN if role is Role.REGIONAL_ADMIN else "")
    asking, named = calls(world, disk)
    before = database()
    for call in asking:
        with pytest.raises((OutsideRegion, RoleReadsOnly)):
            call(actor="person")
        assert database() == before, call
    for call in named:
        with pytest.raises(NAMES[role]):
            call(creator="person")
        assert database() == before, call


def test_a_regional_admin_steers_their_own_region(world, disk):
    regions, _shared = world
    own, now = regions[OWN], timezone.now()
    account("person", Role.REGIONAL_ADMIN, OWN)
    node_suspend(node=own.node, actor="person", reason="", now=now)
    node_activate(node=own.node, actor="person", reason="", now=now)
    school_invite(name="Мактаби нав", region=OWN, actor="person", now=now)
    school_readmit(school=own.school, actor="person", reason="", now=now)
    school_withdraw(school=own.school, actor="person", reason="", disk=disk, now=now)
    alarm_close(alarm=CloneAlarm.objects.get(node=own.node), actor="person", now=now)
    rollout_submit(rollout=own.rollout, actor="person", now=now)
    rollout_approve(rollout=own.rollout, approver="person", now=now)
    share = rollout_create(
        release=own.rollout.release,
        waves=[WaveSpec(name="share", percent=10)],
        terms=RolloutTerms(target=Target(regions=(OWN,))),
        creator="person",
        now=now,
    )
    rollout_abort(rollout=share, actor="person", reason="", now=now)
    assert OptOut.objects.filter(school=own.school).exists()


def test_reviewers_judge_ratings_of_their_region_and_auditors_none(world, now):
    account("reviewer", Role.REVIEWER, OWN)
    account("auditor", Role.AUDITOR)
    own, other = (Rating.objects.get(node__school__region=region) for region in (OWN, OTHER))
    before = database()
    for rating, actor, error in ((other, "reviewer", OutsideRegion), (own, "auditor", RoleReadsOnly)):
        for judge in (partial(rating_accept, correction=""), rating_reject, rating_erase):
            with pytest.raises(error):
                judge(rating=rating, revision=1, actor=actor, now=now)
    assert database() == before
    rating_reject(rating=own, revision=1, actor="reviewer", now=now)
    assert Rating.objects.get(pk=own.pk).status == "rejected"


def test_a_rollout_is_seen_by_the_regions_that_it_touches(world):
    regions, shared = world
    now, release = timezone.now(), shared.release
    everywhere = rollout_create(release=release, waves=[WaveSpec(name="a", percent=5)], creator="t", now=now)
    elsewhere = rollout_create(
        release=release,
        waves=[WaveSpec(name="a", percent=5)],
        terms=RolloutTerms(target=Target(regions=(OTHER,))),
        creator="t",
        now=now,
    )
    reach = reach_of(account("person", Role.REGIONAL_ADMIN, OWN))
    assert set(reach.rows(Rollout.objects.all())) == {regions[OWN].rollout, shared, everywhere}
    assert elsewhere.waves.get() not in reach.rows(Wave.objects.all())
    held = [reach.holds([each]) for each in (regions[OWN].rollout, shared, everywhere, elsewhere)]
    assert held == [True, False, False, False]


def test_a_stick_that_a_region_takes_in_names_only_its_own_schools(world, disk):
    account("person", Role.AUDITOR)
    with pytest.raises(RoleReadsOnly):
        stick_import(source=None, place="x", disk=disk, actor="person", now=timezone.now())


def test_a_saved_filter_is_deleted_by_whoever_made_it(world):
    account("person", Role.REGIONAL_ADMIN, OWN)
    saved = school_filter_save(name="мо", target=Target(regions=(OWN,)), actor="person", now=timezone.now())
    school_filter_delete(saved=saved, actor="person", now=timezone.now())
    assert SchoolFilter.objects.count() == 1


def test_an_account_is_made_with_its_group_and_changes_both_together(db, now):
    made = account_create(username="зарина", role=Role.REGIONAL_ADMIN, region=OWN, actor="command line", now=now)
    user = User.objects.get(username="зарина")
    assert user.check_password(made.password)
    assert (user.is_staff, user.is_superuser, user.has_perm("schools.change_node")) == (True, False, True)
    account_change(user=user, role=Role.AUDITOR, region="", is_active=True, actor="command line", now=now)
    user = User.objects.get(username="зарина")
    assert [group.name for group in user.groups.all()] == ["auditor"]
    assert (user.has_perm("schools.change_node"), user.has_perm("schools.view_auditevent")) == (False, True)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"username": "ЗАРИНА"}, UserExists),
        ({"username": "centre"}, NameReserved),
        ({"username": "Node"}, NameReserved),
        ({"role": Role.REGIONAL_ADMIN}, AccountRegionWrong),
        ({"region": OWN}, AccountRegionWrong),
        ({"role": Role.AUDITOR, "region": OWN}, AccountRegionWrong),
    ],
)
def test_an_account_that_cannot_be_is_refused(db, now, fields, error):
    asked = {"username": "зарина", "role": Role.NATIONAL_ADMIN, "region": ""}
    account_create(**asked, actor="command line", now=now)
    with pytest.raises(error):
        account_create(**{**asked, "username": "дигар", **fields}, actor="command line", now=now)
    assert User.objects.count() == 1


def test_groups_are_put_right_by_every_migration(db, django_db_blocker):
    from django.core.management import call_command  # noqa: PLC0415

    group = Group.objects.get(name="auditor")
    held = set(group.permissions.values_list("codename", flat=True))
    group.permissions.clear()
    Group.objects.get(name="reviewer").delete()
    call_command("migrate", verbosity=0)
    assert set(Group.objects.get(name="auditor").permissions.values_list("codename", flat=True)) == held
    assert Group.objects.filter(name="reviewer").exists()


def test_an_auditor_may_view_only_and_a_regional_admin_sees_no_accounts():
    known = {"schools.view_node", "schools.change_node", "schools.view_auditevent"} | ACCOUNTS
    national = {"schools.view_auditevent"}
    assert permissions_of(Role.AUDITOR, known=known, national=national) == {
        "schools.view_node",
        "schools.view_auditevent",
        "auth.view_user",
    }
    assert permissions_of(Role.REGIONAL_ADMIN, known=known, national=national) == {
        "schools.view_node",
        "schools.change_node",
    }
