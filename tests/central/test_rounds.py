"""Rounds: plans, updates by whichever way, leases, and how a round ends."""

from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from central.schools.models import Node
from central.schools.services import node_revoke
from central.training.errors import RoundUnderWay
from central.training.inbox import updates_scan_inbox
from central.training.leases import lease_grant
from central.training.models import Lease, Round, RoundStatus, Update
from central.training.plan_settings import PlanSettings
from central.training.rounds import round_abandon, round_advance, round_claim, round_judge
from central.training.services import plan_of, round_open, update_take_in
from central.trust_root import director_key
from federation.errors import WireError
from federation.learning.update import update_write
from federation.trust.envelopes import ROUND_PLAN, envelope_open
from federation.wire.canonical import parse
from federation.wire.rounds import Factor, RoundPlan
from tests.central.test_rollouts import release_make

COLUMNS = {"layers.0.qkv": 6, "layers.0.o": 4}


@pytest.fixture
def round_(db, keys):
    return _open()


def _open(**changes):
    base = changes.pop("base", None) or release_make(1)
    return round_open(
        base=base,
        slot_columns=COLUMNS,
        wanted=changes.pop("wanted", 2),
        key=director_key(),
        actor="test",
        now=timezone.now(),
        settings=PlanSettings(rank=2, parts=("qkv", "o"), max_norm=10.0, server_scale=1.0, **changes),
    )


def _update(school, round_, *, counter=1, key=None, scale=0.1, labels=2):
    plan = plan_of(round_)
    arrays = {(slot, Factor.B): np.full((plan.rank, columns), scale, np.float32) for slot, columns in COLUMNS.items()}
    return update_write(
        plan=plan,
        node_id=school.node_id,
        counter=counter,
        labels=labels,
        steps=5,
        loss_before=3.0,
        loss_after=0.1,
        arrays=arrays,
        made_at=timezone.now(),
        key=key or school.key,
    )


def _take_in(content, disk):
    return update_take_in(content=content, disk=disk, now=timezone.now())


def test_a_check_in_brings_the_signed_plan_to_a_node_that_can_train_until_its_update_is_in(school, round_, disk):
    envelope = school.check_in().round_plan
    plan = parse(RoundPlan, envelope_open(envelope, kind=ROUND_PLAN, key=director_key().public_key()))
    assert (plan.base, plan.slots, plan.rank) == (round_.base.digest, tuple(COLUMNS), 2)
    assert plan.anchors
    school.capabilities = ("chat",)
    assert school.check_in().round_plan is None
    school.capabilities = ("chat", "train")
    update = _take_in(_update(school, round_), disk)
    assert school.check_in().update_receipts == ()
    school.updates_waiting = (update.digest, "0" * 64)
    answer = school.check_in()
    assert answer.round_plan is None
    assert [(each.update_sha256, each.accepted) for each in answer.update_receipts] == [(update.digest, True)]


def test_the_same_update_twice_is_one_row(school, round_, disk):
    content = _update(school, round_)
    assert _take_in(content, disk).pk == _take_in(content, disk).pk
    assert Update.objects.count() == 1


def test_a_second_update_of_a_node_is_refused_and_the_first_stays(school, round_, disk):
    first = _take_in(_update(school, round_), disk)
    second = _take_in(_update(school, round_, counter=2, scale=0.2), disk)
    assert (second.status, second.code) == ("refused", "update_duplicate")
    first.refresh_from_db()
    assert first.status == "accepted"


def test_an_update_that_another_key_signed_is_refused_by_name_and_not_kept(school, other_school, round_, disk):
    update = _take_in(_update(school, round_, key=other_school.key), disk)
    assert (update.code, update.node.pk.hex) == ("bad_signature", school.node_id.replace("-", ""))
    assert not list(disk.updates.rglob("*.update"))


def test_an_update_with_too_large_a_norm_is_refused(school, round_, disk):
    assert _take_in(_update(school, round_, scale=1000.0), disk).code == "update_norm_too_large"


def test_an_update_after_the_round_is_refused(school, round_, disk):
    round_abandon(round_=round_, reason="test", now=timezone.now())
    assert _take_in(_update(school, round_), disk).code == "round_closed"


def test_the_inbox_is_emptied_once_and_names_stay_for_the_run_to_see(school, round_, disk):
    folder = disk.inbox / round_.plan_id
    folder.mkdir(parents=True)
    (folder / f"{school.node_id}-1.update").write_bytes(_update(school, round_))
    (folder / "stranger-1.update").write_bytes(b"noise")
    assert updates_scan_inbox(disk=disk, now=timezone.now()) == 2
    assert updates_scan_inbox(disk=disk, now=timezone.now()) == 0
    assert Update.objects.get().status == "accepted"
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted([f"{school.node_id}-1.update.judged", "stranger-1.update.unreadable"])


def test_an_update_of_a_revoked_node_is_taken_in_by_nobody(school, round_, disk):
    node_revoke(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
    with pytest.raises(Exception, match="node_not_active"):
        _take_in(_update(school, round_), disk)
    assert not Update.objects.exists()


def test_a_round_with_enough_updates_aggregates_at_once(school, other_school, round_, disk):
    _take_in(_update(school, round_), disk)
    round_advance(round_=round_, now=timezone.now())
    assert round_.status == RoundStatus.COLLECTING
    _take_in(_update(other_school, round_), disk)
    round_advance(round_=round_, now=timezone.now())
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "enough_updates")


def test_a_deadline_with_some_updates_aggregates_and_with_none_abandons(school, round_, disk):
    late = timezone.now() + timedelta(days=15)
    _take_in(_update(school, round_), disk)
    round_advance(round_=round_, now=late)
    assert (round_.status, round_.why_ended) == (RoundStatus.AGGREGATING, "deadline")
    empty = _open(base=release_make(2))
    round_advance(round_=empty, now=late)
    assert (empty.status, empty.why_ended) == (RoundStatus.ABANDONED, "not_enough_updates: 0")


def test_only_one_process_aggregates_a_round_and_another_takes_over_when_it_died(round_):
    Round.objects.update(status=RoundStatus.AGGREGATING)
    now = timezone.now()
    assert round_claim(round_=round_, now=now)
    assert not round_claim(round_=round_, now=now + timedelta(minutes=1))
    assert round_claim(round_=round_, now=now + timedelta(minutes=31))


def test_one_base_has_one_round_at_a_time(round_):
    with pytest.raises(RoundUnderWay):
        _open(base=round_.base)
    assert Round.objects.count() == 1


def test_leases_are_capped_and_come_free_again(school, other_school, round_):
    mine, theirs = Node.objects.get(pk=school.node_id), Node.objects.get(pk=other_school.node_id)
    now = timezone.now()
    assert lease_grant(node=mine, round_=round_, cap=1, now=now).granted
    refused = lease_grant(node=theirs, round_=round_, cap=1, now=now)
    assert (refused.granted, refused.retry_after_seconds) == (False, 120)
    assert lease_grant(node=mine, round_=round_, cap=1, now=now).granted
    assert lease_grant(node=theirs, round_=round_, cap=1, now=now + timedelta(minutes=11)).granted
    assert Lease.objects.get().node == theirs


def test_the_door_for_leases_knows_the_round(school, round_):
    answer = school.post("leases", b'{"plan_id": "%s"}' % round_.plan_id.encode())
    assert answer.json()["granted"] is True
    assert school.post("leases", b'{"plan_id": "x"}').status_code == 404


@pytest.mark.parametrize(
    ("accepted", "is_past", "expected"),
    [(2, False, (True, "enough_updates")), (1, False, (False, "collecting")), (0, True, (True, "not_enough_updates"))],
)
def test_a_round_is_over_for_one_reason(accepted, is_past, expected):
    progress = round_judge(accepted=accepted, wanted=2, minimum=1, is_past_deadline=is_past)
    assert (progress.is_due, progress.reason) == expected


def test_noise_is_nobodys_update(db, disk):
    with pytest.raises(WireError):
        _take_in(b"noise", disk)
