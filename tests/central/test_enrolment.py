"""Enrolment and sessions, through the doors."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.utils import timezone

from central.disk import centre_disk
from central.schools.invitations import school_invite
from central.schools.models import AuditEvent, ClaimCode, Node, NodeStatus, SessionToken
from central.schools.models_audit import AppendOnlyViolation
from central.schools.services import node_activate, node_revoke, node_suspend
from central.schools.transitions import StatusConflict, StatusMoveIllegal
from central.trust_root import root_fingerprint
from federation.trust.tuf_roles import key_rotate, roles_read
from federation.wire.canonical import parse, sha256_hex
from federation.wire.enrolment import EnrolmentAnswer
from tests.central.school import SimulatedSchool

pytestmark = pytest.mark.django_db


@pytest.fixture
def guest(client, keys):
    """A PC with a claim code in hand."""
    return SimulatedSchool(client, school_invite(name="Мактаби №7", region="", actor="t", now=timezone.now()).code)


def _nothing_changed():
    node = Node.objects.get()
    claim = ClaimCode.objects.get()
    return (node.status, node.public_key, claim.used_at, AuditEvent.objects.count()) == ("invited", "", None, 1)


def test_a_claim_code_makes_the_pc_of_a_preregistered_school_active_at_once(guest):
    answer = guest.enrol()
    assert answer.status_code == 201
    node = Node.objects.get()
    assert (node.status, str(node.pk)) == (NodeStatus.ACTIVE, answer.json()["node_id"])
    moved = [(row.old, row.new) for row in AuditEvent.objects.order_by("pk")]
    assert moved == [("", "code_made"), ("invited", "claimed"), ("claimed", "active")]


def test_a_school_that_is_not_preregistered_waits_for_a_person(guest):
    Node.objects.get().school.__class__.objects.update(is_preregistered=False)
    guest.node_id = guest.enrol().json()["node_id"]
    assert Node.objects.get().status == NodeStatus.CLAIMED
    nonce = guest.post("nonces", b'{"node_id": "%s"}' % guest.node_id.encode(), signed_in=False)
    assert (nonce.status_code, nonce.json()["code"]) == (403, "node_not_active")
    node_activate(node=Node.objects.get(), actor="admin", reason="", now=timezone.now())
    assert guest.open_session().status_code == 201


def test_a_wrong_code_changes_nothing(guest):
    answer = guest.enrol(code="ZZZZZ-ZZZZZ")
    assert (answer.status_code, answer.json()["code"]) == (404, "claim_code_unknown")
    assert _nothing_changed()


def test_an_expired_code_changes_nothing(guest):
    ClaimCode.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = guest.enrol()
    assert (answer.status_code, answer.json()["code"]) == (410, "claim_code_expired")
    assert _nothing_changed()


def test_a_sheet_that_was_printed_before_keys_changed_is_as_good_as_a_new_one(guest, keys):
    printed = root_fingerprint()
    repository = {"root": centre_disk().tuf, "keys": centre_disk().keys}
    one_of_three = roles_read(**repository)[0].keys[0].key_id
    key_rotate(**repository, role="timestamp", now=timezone.now())
    key_rotate(**repository, role="root", old=one_of_three, now=timezone.now())
    assert root_fingerprint() != printed
    answer = guest.enrol(root_sha256=printed)
    assert answer.status_code == 201
    assert sha256_hex(parse(EnrolmentAnswer, answer.content).root_metadata) == printed


def test_a_sheet_of_a_root_that_the_centre_never_had_is_refused_and_its_code_stays_good(guest):
    answer = guest.enrol(root_sha256="0" * 64)
    assert (answer.status_code, answer.json()["code"]) == (403, "sheet_root_unknown")
    assert _nothing_changed()
    assert guest.enrol().status_code == 201


def test_a_code_that_another_key_has_used_is_refused_and_the_first_pc_stays(guest):
    first = guest.enrol().json()["node_id"]
    before = Node.objects.values().get()
    answer = guest.enrol(key=ec.generate_private_key(ec.SECP384R1()))
    assert (answer.status_code, answer.json()["code"]) == (409, "claim_code_used")
    assert Node.objects.values().get() == before
    assert str(Node.objects.get().pk) == first


def test_a_pc_that_lost_the_answer_on_the_way_gets_the_same_one_again(guest):
    assert guest.enrol().json()["node_id"] == guest.enrol().json()["node_id"]
    assert AuditEvent.objects.count() == 3


def test_a_request_that_its_own_key_did_not_sign_changes_nothing(guest):
    answer = guest.enrol(signer=ec.generate_private_key(ec.SECP384R1()))
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")
    assert _nothing_changed()


def test_a_key_that_another_node_has_is_refused(guest):
    guest.enrol()
    second = school_invite(name="Мактаби №8", region="", actor="t", now=timezone.now())
    answer = guest.enrol(code=second.code)
    assert answer.json()["code"] == "key_taken"
    second.node.refresh_from_db()
    assert second.node.status == NodeStatus.INVITED
    assert ClaimCode.objects.get(node=second.node).used_at is None


def test_the_code_is_read_as_people_type_it(guest):
    typed = guest.code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert guest.enrol(code=typed).status_code == 201


def test_the_code_is_nowhere_in_the_database(guest):
    kept = str(list(ClaimCode.objects.values())) + str(list(Node.objects.values()))
    assert guest.code not in kept
    assert guest.code.replace("-", "") not in kept


def test_a_nonce_opens_one_session_and_no_second(school):
    nonce = school.ask_nonce().nonce
    assert school.open_session(nonce=nonce).status_code == 201
    assert school.open_session(nonce=nonce).json()["code"] == "nonce_unknown"


def test_another_key_cannot_answer_a_nonce_and_does_not_use_it_up(school):
    nonce = school.ask_nonce().nonce
    tokens = SessionToken.objects.count()
    assert school.open_session(nonce=nonce, key=ec.generate_private_key(ec.SECP384R1())).status_code == 403
    assert SessionToken.objects.count() == tokens
    assert school.open_session(nonce=nonce).status_code == 201


def test_suspension_ends_open_sessions_at_once(school):
    node_suspend(node=Node.objects.get(), actor="admin", reason="", now=timezone.now())
    answer = school.post("leases", b'{"plan_id": "x"}')
    assert (answer.status_code, answer.json()["code"]) == (401, "session_unknown")


def test_a_revoked_node_never_comes_back(school):
    node = Node.objects.get()
    node_revoke(node=node, actor="admin", reason="", now=timezone.now())
    with pytest.raises(StatusMoveIllegal):
        node_activate(node=node, actor="admin", reason="", now=timezone.now())


def test_a_move_from_a_status_that_has_changed_meanwhile_is_refused_and_leaves_no_audit(school):
    first, second = Node.objects.get(), Node.objects.get()
    node_suspend(node=first, actor="one", reason="", now=timezone.now())
    rows = AuditEvent.objects.count()
    with pytest.raises(StatusConflict):
        node_revoke(node=second, actor="two", reason="", now=timezone.now())
    assert Node.objects.get().status == NodeStatus.SUSPENDED
    assert AuditEvent.objects.count() == rows


def test_the_audit_cannot_be_changed_or_deleted(school):
    row = AuditEvent.objects.first()
    for attempt in (row.save, row.delete, AuditEvent.objects.all().delete):
        with pytest.raises(AppendOnlyViolation):
            attempt()
    with pytest.raises(AppendOnlyViolation):
        AuditEvent.objects.update(reason="")


def test_a_refusal_speaks_the_language_that_was_asked_for(guest):
    body = b"not an envelope"
    answers = {
        language: guest.client.post(
            "/api/v1/enrolments", body, content_type="application/json", headers={"Accept-Language": language}
        ).json()
        for language in ("tg", "ru", "en")
    }
    assert {answer["code"] for answer in answers.values()} == {"malformed_document"}
    assert len({answer["message"] for answer in answers.values()}) == 3
