"""Updates by whichever way, which round counts them, leases, and how a round ends."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from central.schools.models import AuditEvent, Node
from central.schools.services import node_revoke
from central.schools.transitions import StatusMoveIllegal
from central.training.buffer import Buffer, Due, round_judge
from central.training.errors import PlanUnknown, RoundBlocked, RoundNotEnough
from central.training.inbox import updates_scan_inbox
from central.training.leases import lease_grant
from central.training.models import Lease, Offer, Plan, Round, RoundStatus, Update
from central.training.plans import plan_get
from central.training.rounds import round_abandon, round_advance, round_claim, round_combine_now, round_retry
from central.training.seasons import season_close
from central.trust_root import director_key
from federation.errors import WireError
from federation.trust.envelopes import ROUND_PLAN, envelope_open
from federation.wire.canonical import parse
from federation.wire.rounds import LocalScores, RoundPlan
from tests.central.school import SimulatedSchool
from tests.central.seasons import SIZES, collecting, season_small, take_in, update_of


@pytest.fixture
def season(db, keys):
    return season_small()


def test_a_check_in_brings_the_signed_plan_to_a_node_that_can_train_until_its_update_is_in(school, season, disk):
    school.running = season.base.digest
    envelope = school.check_in().round_plan
    plan = parse(RoundPlan, envelope_open(envelope, kind=ROUND_PLAN, key=director_key().public_key()))
    assert (plan.base, plan.slots, plan.rank) == (season.base.digest, tuple(SIZES), 2)
    assert (plan.season_id, plan.seed, plan.start, plan.version) == (season.season_id, season.season_id, "", 0)
    assert plan.anchors
    school.capabilities = ("chat",)
    assert school.check_in().round_plan is None
    school.capabilities = ("chat", "train")
    update = take_in(update_of(school, season), disk)
    assert school.check_in().update_receipts == ()
    school.updates_waiting = (update.digest, "0" * 64)
    answer = school.check_in()
    assert answer.round_plan is None
    assert [(each.update_sha256, each.accepted) for each in answer.update_receipts] == [(update.digest, True)]


def test_the_centre_hears_once_that_a_plan_was_learnt_before_the_update_comes(school, season):
    school.running = season.base.digest
    school.check_in()
    offer = Offer.objects.get()
    assert (offer.plan, offer.trained_at) == (season.plans.get(), None)
    school.updates_waiting = ("0" * 64,)
    school.check_in(plan_id=offer.plan.plan_id)
    heard = Offer.objects.get().trained_at
    assert heard is not None
    school.check_in(plan_id=offer.plan.plan_id)
    assert Offer.objects.get().trained_at == heard


def test_the_same_update_twice_is_one_row(school, season, disk):
    content = update_of(school, season)
    assert take_in(content, disk).pk == take_in(content, disk).pk
    assert Update.objects.count() == 1


def test_a_second_update_of_a_node_to_a_plan_is_refused_and_the_first_stays(school, season, disk):
    first = take_in(update_of(school, season), disk)
    second = take_in(update_of(school, season, counter=2, scale=0.2), disk)
    assert (second.status, second.code) == ("refused", "update_duplicate")
    assert len(list(disk.updates.rglob("*.update"))) == 1
    first.refresh_from_db()
    assert first.status == "accepted"


def test_a_plan_is_read_once_for_all_its_updates_until_something_shared_changes(school, season, db):
    plan_id = season.plans.get().plan_id
    first = plan_get(plan_id)
    with CaptureQueriesContext(connection) as asked:
        assert plan_get(plan_id) is first
    assert len(asked) == 1
    Plan.objects.update(envelope=b"signed anew")
    assert bytes(plan_get(plan_id).envelope) == b"signed anew"
    Plan.objects.all().delete()
    with pytest.raises(PlanUnknown):
        plan_get(plan_id)


def test_taking_an_update_in_costs_a_dozen_statements(school, other_school, season, disk):
    take_in(update_of(school, season), disk)
    content = update_of(other_school, season)
    with CaptureQueriesContext(connection) as asked:
        assert take_in(content, disk).status == "accepted"
    # Without those of the transaction, which a test has in another form.
    statements = [query["sql"] for query in asked if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(statements) <= 12, statements


def test_what_an_update_says_of_its_held_out_labels_is_kept(school, season, disk):
    scores = LocalScores(labels=3, nats_before=2.0, nats_after=1.0, preferred_before=0.3, preferred_after=0.7)
    update = take_in(update_of(school, season, scores=scores), disk)
    assert update.scores["nats_after"] == 1.0


def test_an_update_that_another_key_signed_is_refused_by_name_and_not_kept(school, other_school, season, disk):
    update = take_in(update_of(school, season, key=other_school.key), disk)
    assert (update.code, update.node.pk.hex) == ("bad_signature", school.node_id.replace("-", ""))
    assert not list(disk.updates.rglob("*.update"))


def test_an_update_with_too_large_a_norm_is_refused(school, season, disk):
    assert take_in(update_of(school, season, scale=1000.0), disk).code == "update_norm_too_large"


def test_an_update_to_a_closed_season_is_refused(school, season, disk):
    season_close(season=season, actor="test", reason="test", now=timezone.now())
    assert take_in(update_of(school, season), disk).code == "season_closed"
    assert school.check_in().round_plan is None


def test_the_inbox_is_emptied_once_and_names_stay_for_the_run_to_see(school, season, disk):
    folder = disk.inbox / collecting(season).round_id
    folder.mkdir(parents=True)
    (folder / f"{school.node_id}-1.update").write_bytes(update_of(school, season))
    (folder / "stranger-1.update").write_bytes(b"noise")
    assert updates_scan_inbox(disk=disk, now=timezone.now()) == 2
    assert updates_scan_inbox(disk=disk, now=timezone.now()) == 0
    assert Update.objects.get().status == "accepted"
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([f"{school.node_id}-1.update.judged", "stranger-1.update.unreadable"])
    # The bytes lie where they are deleted when the school withdraws, and nowhere else.
    assert (folder / f"{school.node_id}-1.update.judged").read_bytes() == b""
    assert len(list(disk.updates.rglob("*.update"))) == 1


def test_a_file_that_was_taken_in_before_a_cut_is_no_ones_second_update(school, season, disk):
    folder = disk.inbox / collecting(season).round_id
    folder.mkdir(parents=True)
    (folder / f"{school.node_id}-1.update").touch()
    updates_scan_inbox(disk=disk, now=timezone.now())
    assert [path.name for path in folder.iterdir()] == [f"{school.node_id}-1.update.judged"]
    assert not Update.objects.exists()


def test_an_update_of_a_revoked_node_is_taken_in_by_nobody(school, season, disk):
    node_revoke(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
    with pytest.raises(Exception, match="node_not_active"):
        take_in(update_of(school, season), disk)
    assert not Update.objects.exists()


def test_a_round_with_enough_schools_is_combined_at_once_and_the_next_one_collects(school, other_school, season, disk):
    round_ = collecting(season)
    take_in(update_of(school, season), disk)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.COLLECTING
    take_in(update_of(other_school, season), disk)
    round_advance(round_=round_, now=timezone.now())
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "enough_updates")
    following = collecting(season)
    assert (following.number, following.round_id) == (2, f"{season.season_id}-2")
    assert (round_.updates.count(), following.updates.count()) == (2, 0)


def test_a_full_round_takes_in_seldom_schools_until_it_is_old_enough(school, other_school, keys, disk):
    season = season_small(wanted=1, least_days=7)
    round_ = collecting(season)
    take_in(update_of(school, season), disk)
    round_advance(round_=round_, now=round_.opened_at + timedelta(days=7, seconds=-1))
    assert round_.status == RoundStatus.COLLECTING
    take_in(update_of(other_school, season), disk)
    round_advance(round_=round_, now=round_.opened_at + timedelta(days=7))
    assert (round_.status, round_.updates.count()) == (RoundStatus.AGGREGATING, 2)


def test_a_person_combines_a_round_before_it_is_old_enough(school, keys, disk):
    round_ = collecting(season_small(wanted=1, least_days=7))
    take_in(update_of(school, round_.season), disk)
    round_combine_now(round_=round_, actor="a", now=round_.opened_at)
    round_advance(round_=round_, now=round_.opened_at)
    assert round_.status == RoundStatus.AGGREGATING


def test_a_deadline_with_some_updates_combines_and_with_none_is_put_off(school, season, disk):
    round_ = collecting(season)
    late = timezone.now() + timedelta(days=15)
    round_advance(round_=round_, now=late)
    assert (round_.status, round_.closes_at) == (RoundStatus.COLLECTING, late + timedelta(days=14))
    assert AuditEvent.objects.filter(entity=f"training.round {round_.pk}").get().reason == "not_enough_updates"
    take_in(update_of(school, season), disk)
    round_advance(round_=round_, now=late + timedelta(days=14))
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "deadline")


def test_a_closed_season_combines_what_it_has_and_opens_no_further_round(school, season, disk):
    take_in(update_of(school, season), disk)
    round_ = collecting(season)
    season_close(season=season, actor="test", reason="enough", now=timezone.now())
    round_advance(round_=round_, now=timezone.now())
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "season_closed")
    assert Round.objects.count() == 1


def test_a_closed_season_without_updates_ends_its_round(season):
    round_ = collecting(season)
    season_close(season=season, actor="test", reason="enough", now=timezone.now())
    round_advance(round_=round_, now=timezone.now())
    assert (round_.status, round_.why_ended) == (RoundStatus.ABANDONED, "not_enough_updates")
    assert Round.objects.count() == 1


def test_two_pcs_of_a_school_have_one_voice_a_round_and_the_second_counts_in_the_next(
    client, school, other_school, season, disk
):
    twin = SimulatedSchool.enrolled(client, name="Мактаби №1, коргоҳ")
    Node.objects.filter(pk=twin.node_id).update(school=Node.objects.get(pk=school.node_id).school)
    round_ = collecting(season)
    for each in (school, twin):
        take_in(update_of(each, season), disk)
    assert round_advance(round_=round_, now=timezone.now()).due is Due.NOTHING
    take_in(update_of(other_school, season), disk)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.AGGREGATING
    assert {str(pk) for pk in round_.updates.values_list("node", flat=True)} == {school.node_id, other_school.node_id}
    assert str(collecting(season).updates.get().node_id) == twin.node_id


def test_an_abandoned_round_keeps_its_updates_and_may_be_combined_after_all(school, season, disk):
    take_in(update_of(school, season), disk)
    round_ = collecting(season)
    round_abandon(round_=round_, reason="test", actor="a", now=timezone.now())
    assert collecting(season).number == 2
    round_retry(round_=round_, actor="a", now=timezone.now())
    assert (round_.status, round_.ended_at, round_.updates.count()) == (RoundStatus.AGGREGATING, None, 1)


def test_a_round_that_still_collects_is_not_combined_as_an_abandoned_one(school, season, disk):
    take_in(update_of(school, season), disk)
    round_ = collecting(season)
    with pytest.raises(StatusMoveIllegal):
        round_retry(round_=round_, actor="a", now=timezone.now())
    round_.refresh_from_db()
    assert round_.status == RoundStatus.COLLECTING


def test_a_person_ends_the_collecting_early_but_not_of_an_empty_round(school, season, disk):
    round_ = collecting(season)
    with pytest.raises(RoundNotEnough):
        round_combine_now(round_=round_, actor="a", now=timezone.now())
    assert Round.objects.get().status == RoundStatus.COLLECTING
    take_in(update_of(school, season), disk)
    round_combine_now(round_=round_, actor="a", now=timezone.now())
    round_advance(round_=round_, now=timezone.now())
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "deadline")
    with pytest.raises(RoundBlocked):
        round_combine_now(round_=round_, actor="a", now=timezone.now())


def test_only_one_process_aggregates_a_round_and_another_takes_over_when_it_died(season):
    Round.objects.update(status=RoundStatus.AGGREGATING)
    round_ = Round.objects.get()
    now = timezone.now()
    assert round_claim(round_=round_, now=now)
    assert not round_claim(round_=round_, now=now + timedelta(minutes=1))
    assert round_claim(round_=round_, now=now + timedelta(minutes=31))


def test_leases_are_capped_and_come_free_again(school, other_school, season):
    mine, theirs = Node.objects.get(pk=school.node_id), Node.objects.get(pk=other_school.node_id)
    now, plan = timezone.now(), season.plans.get()
    assert lease_grant(node=mine, plan=plan, cap=1, now=now).granted
    refused = lease_grant(node=theirs, plan=plan, cap=1, now=now)
    assert (refused.granted, refused.retry_after_seconds) == (False, 120)
    assert lease_grant(node=mine, plan=plan, cap=1, now=now).granted
    assert lease_grant(node=theirs, plan=plan, cap=1, now=now + timedelta(minutes=11)).granted
    assert Lease.objects.get(expires_at__gt=now + timedelta(minutes=11)).node == theirs
    season_close(season=season, actor="a", reason="", now=now)
    assert not lease_grant(node=mine, plan=plan, cap=9, now=now + timedelta(minutes=22)).granted


def test_leases_are_counted_for_each_superlink(school, other_school, season, settings):
    settings.FLEET_ADDRESS = "north=c:8443/Суғд; south=c:8444/Хатлон"
    mine, theirs = Node.objects.get(pk=school.node_id), Node.objects.get(pk=other_school.node_id)
    theirs.school.region = "Суғд"
    theirs.school.save()
    for node in (mine, theirs):
        assert lease_grant(node=node, plan=season.plans.get(), cap=1, now=timezone.now()).granted
    assert set(Lease.objects.values_list("superlink", flat=True)) == {"north", "south"}


def test_the_door_for_leases_knows_the_plan(school, season):
    answer = school.post("leases", b'{"plan_id": "%s"}' % season.plans.get().plan_id.encode())
    assert answer.json()["granted"] is True
    assert school.post("leases", b'{"plan_id": "x"}').status_code == 404


BUFFER = {
    "accepted": 1,
    "wanted": 2,
    "minimum": 1,
    "is_young": False,
    "is_past_deadline": False,
    "is_season_open": True,
    "is_another_combined": False,
    "is_candidate_waiting": False,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (Due.NOTHING, "collecting")),
        ({"accepted": 2}, (Due.COMBINE, "enough_updates")),
        ({"accepted": 2, "is_young": True}, (Due.NOTHING, "full_but_young")),
        ({"is_young": True}, (Due.NOTHING, "collecting")),
        ({"accepted": 2, "is_young": True, "is_past_deadline": True}, (Due.COMBINE, "enough_updates")),
        ({"accepted": 2, "is_young": True, "is_season_open": False}, (Due.COMBINE, "enough_updates")),
        ({"is_past_deadline": True}, (Due.COMBINE, "deadline")),
        ({"accepted": 0, "is_past_deadline": True}, (Due.EXTEND, "not_enough_updates")),
        ({"accepted": 0, "is_season_open": False}, (Due.ABANDON, "not_enough_updates")),
        ({"is_season_open": False}, (Due.COMBINE, "season_closed")),
        ({"accepted": 2, "is_candidate_waiting": True}, (Due.NOTHING, "candidate_waiting")),
        ({"accepted": 2, "is_candidate_waiting": True, "is_past_deadline": True}, (Due.COMBINE, "enough_updates")),
        ({"is_candidate_waiting": True, "is_season_open": False}, (Due.NOTHING, "candidate_waiting")),
        ({"accepted": 2, "is_another_combined": True}, (Due.NOTHING, "another_round_combined")),
    ],
)
def test_a_round_is_over_for_one_reason(changes, expected):
    progress = round_judge(Buffer(**(BUFFER | changes)))
    assert (progress.due, progress.reason) == expected


@given(
    st.builds(
        Buffer,
        accepted=st.integers(0, 5),
        wanted=st.just(3),
        minimum=st.integers(1, 3),
        is_past_deadline=st.booleans(),
        is_season_open=st.booleans(),
        is_another_combined=st.booleans(),
        is_candidate_waiting=st.booleans(),
    )
)
def test_nothing_is_combined_below_the_minimum_and_nothing_accepted_is_let_go_of_while_the_season_is_open(buffer):
    due = round_judge(buffer).due
    assert due is not Due.COMBINE or buffer.accepted >= buffer.minimum
    assert due is not Due.ABANDON or not buffer.is_season_open


def test_noise_is_nobodys_update(db, disk):
    with pytest.raises(WireError):
        take_in(b"noise", disk)
