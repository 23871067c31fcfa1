"""By which key a node is known: rotation, withdrawal, approval; what an old key can still do, and what it cannot."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from django.contrib.auth import get_user_model
from django.utils import timezone

from central.feedback.admin import open_alarms
from central.feedback.models import CloneAlarm, Rating, ReceivedParcel
from central.schools.errors import NodeNotActive, NodeWithoutKey
from central.schools.invitations import node_reinvite, school_invite
from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, RetiredKey, SessionToken
from central.schools.services import node_activate, node_revoke, node_suspend
from central.training.models import Lease, Update
from federation.trust.envelopes import KEY_ROTATION, envelope_cosign, envelope_seal
from federation.trust.keys import public_pem
from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import KeyRotation
from tests.central.school import SimulatedSchool, rating_parcel
from tests.central.seasons import season_small, take_in, update_of

pytestmark = pytest.mark.django_db


class Drawer:
    """Stands in for the printer: keeps the codes that it was told."""

    def __init__(self):
        self.codes = []

    def __call__(self, drawn):
        self.codes += [each.code for each in drawn]
        return b"%PDF"


def new_key():
    return ec.generate_private_key(ec.SECP384R1())


def rotate(school, *, old=None, new=None, node_id=None):
    """Ask for a rotation, signed by `old` (by default the school's key) and by `new`, where each is a key."""
    wish = canonical_bytes(KeyRotation(node_id=node_id or school.node_id, public_key=public_pem(new)))
    envelope = envelope_seal(payload=wish, kind=KEY_ROTATION, key=old or school.key)
    return school.post("keys", envelope_cosign(envelope, kind=KEY_ROTATION, key=new), signed_in=False)


def identity():
    """All that says who the nodes are."""
    return list(Node.objects.values("status", "public_key", "flwr_node_id")), RetiredKey.objects.count()


def test_a_rotated_node_is_known_by_its_new_key_and_by_no_other(school):
    new, old = new_key(), school.key
    assert rotate(school, new=new).status_code == 200
    assert Node.objects.get().public_key == public_pem(new)
    assert SessionToken.objects.count() == 0
    refused = school.open_session(key=old)
    assert (refused.status_code, refused.json()["code"]) == (403, "key_retired")
    school.key = new
    assert school.open_session().status_code == 201
    assert AuditEvent.objects.first().new == "key_rotated"


def test_a_rotation_whose_answer_was_lost_can_be_asked_for_again(school):
    new = new_key()
    assert rotate(school, new=new).content == rotate(school, new=new).content
    assert RetiredKey.objects.count() == 1


def test_a_rotation_without_both_signatures_changes_nothing(school):
    before, new = identity(), new_key()
    stranger = rotate(school, old=new_key(), new=new)
    assert (stranger.status_code, stranger.json()["code"]) == (403, "bad_signature")
    wish = canonical_bytes(KeyRotation(node_id=school.node_id, public_key=public_pem(new)))
    alone = school.post("keys", envelope_seal(payload=wish, kind=KEY_ROTATION, key=school.key), signed_in=False)
    assert (alone.status_code, alone.json()["code"]) == (403, "bad_signature")
    assert identity() == before


def test_a_key_that_was_a_nodes_once_never_is_again(school, other_school):
    first, second = school.key, new_key()
    rotate(school, new=second)
    school.key = second
    before = identity()
    assert rotate(school, new=first).json()["code"] == "key_taken"
    assert rotate(other_school, new=first).json()["code"] == "key_taken"
    assert rotate(other_school, new=second).json()["code"] == "key_taken"
    guest = SimulatedSchool(school.client, school_invite(name="№3", region="", actor="t", now=timezone.now()).code)
    assert guest.enrol(key=first).json()["code"] == "key_taken"
    assert ClaimCode.objects.filter(used_at=None).count() == 1
    assert identity()[0][:2] == before[0]


def test_a_node_may_have_no_key_of_another_kind(school):
    before = identity()
    key = ed25519.Ed25519PrivateKey.generate()
    assert rotate(school, new=key).json()["code"] == "unsuitable_key"
    guest = SimulatedSchool(school.client, school_invite(name="№3", region="", actor="t", now=timezone.now()).code)
    assert guest.enrol(key=key).json()["code"] == "unsuitable_key"
    assert identity()[0][:1] == before[0]


def test_a_suspended_or_revoked_node_cannot_change_its_key(school):
    for shut in (node_suspend, node_revoke):
        shut(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
        before = identity()
        assert rotate(school, new=new_key()).json()["code"] == "node_not_active"
        assert identity() == before


def test_what_the_old_key_signed_before_a_rotation_is_still_taken(school, disk):
    season = season_small()
    update = update_of(school, season)
    old = school.key
    school.key = new_key()
    rotate(school, old=old, new=school.key)
    school.open_session()
    assert school.send_parcels(rating_parcel(1), key=old).status_code == 200
    take_in(update, disk)
    assert Update.objects.get().status == "accepted"


def test_what_a_withdrawn_key_signs_counts_for_nothing(school, disk):
    season = season_small()
    update = update_of(school, season)
    drawer, old = Drawer(), school.key
    node_reinvite(node=Node.objects.get(), render=drawer, actor="a", reason="stolen", now=timezone.now())
    school.key, (school.code,) = new_key(), drawer.codes
    assert school.enrol().status_code == 201
    assert school.open_session().status_code == 201
    refused = school.send_parcels(rating_parcel(1), key=old)
    assert (refused.status_code, refused.json()["code"]) == (403, "bad_signature")
    take_in(update, disk)
    assert (Update.objects.get().status, Update.objects.get().code) == ("refused", "bad_signature")
    assert ReceivedParcel.objects.count() == 0


def test_a_pc_that_takes_a_nodes_place_is_the_same_node_and_the_old_one_is_out(school):
    node_id, drawer, old = school.node_id, Drawer(), school.key
    node_reinvite(node=Node.objects.get(), render=drawer, actor="a", reason="broken disk", now=timezone.now())
    assert school.post("leases", b'{"plan_id": "x"}').status_code == 401
    assert Node.objects.get().status == NodeStatus.SUSPENDED
    with pytest.raises(NodeWithoutKey):
        node_activate(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
    assert Node.objects.get().status == NodeStatus.SUSPENDED
    school.key, (school.code,) = new_key(), drawer.codes
    answer = school.enrol().json()
    assert (answer["node_id"], answer["status"]) == (node_id, "active")
    assert school.open_session().status_code == 201
    assert school.open_session(key=old).json()["code"] == "key_retired"


def test_the_code_of_a_node_that_was_revoked_meanwhile_is_worth_nothing(school):
    drawer = Drawer()
    node_reinvite(node=Node.objects.get(), render=drawer, actor="a", reason="", now=timezone.now())
    node_revoke(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
    before = identity()
    answer = school.enrol(code=drawer.codes[0], key=new_key())
    assert (answer.status_code, answer.json()["code"]) == (409, "claim_code_used")
    assert identity() == before


def test_a_ministry_that_approves_by_hand_keeps_every_pc_waiting(client, keys, settings):
    settings.NODES_WAIT_FOR_APPROVAL = True
    guest = SimulatedSchool(client, school_invite(name="№1", region="", actor="t", now=timezone.now()).code)
    answer = guest.enrol().json()
    assert answer["status"] == "claimed"
    guest.node_id = answer["node_id"]
    nonce = guest.post("nonces", canonical_bytes({"node_id": guest.node_id}), signed_in=False)
    assert (nonce.status_code, nonce.json()["code"]) == (403, "node_not_active")
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    client.post("/admin/schools/node/", {"action": "activate", "_selected_action": guest.node_id}, follow=True)
    assert guest.open_session().status_code == 201


@pytest.mark.parametrize("shut", [node_suspend, node_revoke])
def test_a_node_that_is_shut_out_loses_its_lease_and_its_updates_are_not_taken(
    school, disk, shut, django_capture_on_commit_callbacks
):
    season = season_small()
    school.post("leases", canonical_bytes({"plan_id": season.plans.get().plan_id}))
    assert Lease.objects.count() == 1
    update = update_of(school, season)
    with django_capture_on_commit_callbacks(execute=True):
        shut(node=Node.objects.get(), actor="a", reason="", now=timezone.now())
    assert Lease.objects.count() == 0
    assert school.post("leases", canonical_bytes({"plan_id": season.plans.get().plan_id})).status_code == 401
    with pytest.raises(NodeNotActive):
        take_in(update, disk)
    assert Update.objects.count() == 0


def test_a_left_numbering_that_comes_back_raises_one_alarm_and_a_person_closes_it(school, client, rf):
    for epoch in ("one", "two", "two"):
        school.epoch = epoch
        school.check_in()
    assert not CloneAlarm.objects.exists()
    school.epoch = "one"
    school.check_in()
    alarm = CloneAlarm.objects.get()
    assert (alarm.sign, alarm.epoch, alarm.other_event_id) == ("epoch_back", "one", "two")
    assert AuditEvent.objects.first().new == "clone_suspected"
    request = rf.get("/admin/")
    request.user = get_user_model().objects.create_superuser("Ҷамшед", password="x")
    client.force_login(request.user)
    assert open_alarms(request) == "1"
    client.post("/admin/feedback/clonealarm/", {"action": "close", "_selected_action": alarm.pk}, follow=True)
    alarm.refresh_from_db()
    assert (alarm.resolution, alarm.resolved_by) == ("one_pc", "Ҷамшед")
    for epoch in ("two", "one"):
        school.epoch = epoch
        school.check_in()
    assert CloneAlarm.objects.is_open().count() == 2


def test_of_two_pcs_with_one_identity_one_stays_and_nothing_is_doubled(school, client, settings):
    settings.PUBLIC_ADDRESS = "https://soro.example"
    school.receipt(rating_parcel(1), rating_parcel(2))
    assert [each.code for each in school.receipt(rating_parcel(2, event_id="the-copys")).quarantined] == [
        "clone_suspected"
    ]
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    form = {"action": "replace", "_selected_action": CloneAlarm.objects.get().pk}
    answer = client.post("/admin/feedback/clonealarm/", form)
    assert answer["Content-Type"] == "application/pdf"
    assert "no-store" in answer["Cache-Control"]
    assert CloneAlarm.objects.get().resolution == "replaced"
    assert Node.objects.get().status == NodeStatus.SUSPENDED
    drawer = Drawer()
    node_reinvite(node=Node.objects.get(), render=drawer, actor="a", reason="lost sheet", now=timezone.now())
    stays = SimulatedSchool(client, drawer.codes[0])
    stays.node_id = stays.enrol().json()["node_id"]
    assert stays.node_id == school.node_id
    stays.open_session()
    stays.epoch = "after"
    assert stays.receipt(rating_parcel(1), rating_parcel(2), rating_parcel(3)).acknowledged_seq == 3
    copy = SimulatedSchool(client, school_invite(name="Мактаби №1", region="", actor="t", now=timezone.now()).code)
    copy.node_id = copy.enrol().json()["node_id"]
    copy.open_session()
    copy.epoch = "the-copys"
    sent = (rating_parcel(1), rating_parcel(2), rating_parcel(3, record_id="only-here", event_id="only-here"))
    assert copy.receipt(*sent).acknowledged_seq == 3
    assert Rating.objects.count() == 4
    assert Rating.objects.filter(record_id="record-1").count() == 1
