"""Parcels, through the door: each once, in any order, the bad ones aside."""

import itertools
import json
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from central.feedback.models import CloneAlarm, Rating, ReceivedParcel
from central.schools.models import AuditEvent
from federation.trust.envelopes import PARCELS, envelope_seal
from federation.wire.canonical import to_plain
from federation.wire.feedback import ParcelBatch, ParcelKind
from tests.central.school import rating_parcel

pytestmark = pytest.mark.django_db


def _rows():
    parcels = list(ReceivedParcel.objects.order_by("seq").values("seq", "body", "status", "code", "is_erased"))
    ratings = list(
        Rating.objects.order_by("record_id").values("record_id", "revision", "stars", "correction", "is_deleted")
    )
    return parcels, ratings


def _revision(seq, revision, stars):
    parcel = rating_parcel(seq, record_id="record-1", revision=revision)
    return rating_parcel(seq, record_id="record-1", revision=revision, body={**parcel.body, "stars": stars})


def _tombstone(seq):
    return rating_parcel(seq, record_id="record-1", revision=9, kind=ParcelKind.TOMBSTONE, body={})


def test_the_same_batch_twice_gives_the_same_receipt_and_the_same_rows(school):
    batch = (rating_parcel(1), rating_parcel(2))
    first, rows = school.receipt(*batch), _rows()
    assert first.acknowledged_seq == 2
    assert school.receipt(*batch) == first
    assert _rows() == rows


def test_a_gap_holds_the_acknowledgement_until_it_is_filled(school):
    assert school.receipt(rating_parcel(1), rating_parcel(3)).acknowledged_seq == 1
    assert school.receipt(rating_parcel(2)).acknowledged_seq == 3
    assert school.check_in().acknowledged_seq == 3


def test_any_order_of_revisions_and_a_deletion_ends_in_the_same_rows(school):
    parcels = [_revision(1, 1, 2), _revision(2, 2, 4), _tombstone(3)]
    outcomes = set()
    for number, order in enumerate(itertools.permutations(parcels)):
        school.epoch = f"epoch-{number}"
        Rating.objects.all().delete()
        for parcel in order:
            school.receipt(parcel)
        kept = ReceivedParcel.objects.filter(epoch=school.epoch).order_by("seq").values_list("body", "is_erased")
        rating = Rating.objects.values("stars", "correction", "question", "is_deleted").get()
        outcomes.add(str((list(kept), rating)))
    assert len(outcomes) == 1
    assert "Душанбе" not in outcomes.pop()


def test_a_correction_that_was_taken_back_is_in_no_data_set_any_more(school):
    school.receipt(_revision(1, 1, 2))
    assert [rating.correction for rating in Rating.objects.corrections()] == [rating_parcel(1).body["correction"]]
    school.receipt(_tombstone(2))
    assert not Rating.objects.corrections().exists()
    assert not [body for body in ReceivedParcel.objects.values_list("body", flat=True) if body]


def test_the_highest_revision_wins_whichever_came_last(school):
    school.receipt(_revision(1, 2, 5))
    school.receipt(_revision(2, 1, 1))
    assert Rating.objects.get().stars == 5


def test_a_bad_parcel_is_quarantined_counted_as_received_and_holds_nobody_up(school):
    broken = rating_parcel(2, body={**rating_parcel(2).body, "stars": 6})
    receipt = school.receipt(rating_parcel(1), broken, rating_parcel(3))
    assert receipt.acknowledged_seq == 3
    assert [(entry.seq, entry.code) for entry in receipt.quarantined] == [(2, "malformed_document")]
    # Its receipt may be lost: the check-in says it again to a node that has not heard.
    assert school.check_in().quarantined == receipt.quarantined
    assert ReceivedParcel.objects.get(seq=2).body["stars"] == 6
    assert Rating.objects.count() == 2


@pytest.mark.parametrize("text", ["\0", "\ud800"])
def test_text_that_a_database_cannot_hold_is_quarantined_and_kept_escaped(school, text):
    parcel = rating_parcel(1, body={**rating_parcel(1).body, "question": text})
    batch = ParcelBatch(node_id=school.node_id, epoch=school.epoch, parcels=(parcel,))
    payload = json.dumps(to_plain(batch)).encode()
    answer = school.post("parcels", envelope_seal(payload=payload, kind=PARCELS, key=school.key))
    assert answer.json()["quarantined"] == [{"seq": 1, "code": "text_unstorable"}]
    assert json.loads(ReceivedParcel.objects.get().body["escaped"])["question"] == text
    assert not Rating.objects.exists()


def test_a_person_reads_in_words_why_a_parcel_is_in_quarantine(school, admin_client):
    broken = rating_parcel(2, body={**rating_parcel(2).body, "stars": 6})
    school.receipt(rating_parcel(1), broken)
    page = admin_client.get(
        "/admin/feedback/receivedparcel/?code=malformed_document", headers={"Accept-Language": "en"}
    )
    shown = page.context["cl"]
    assert [parcel.seq for parcel in shown.result_list] == [2]
    assert ">cannot be read<" in page.content.decode()
    assert ">malformed_document<" not in page.content.decode()


def test_two_parcels_under_one_number_raise_one_alarm_and_the_first_stays(school):
    school.receipt(rating_parcel(1))
    before, audit = _rows(), AuditEvent.objects.count()
    for _ in range(2):
        receipt = school.receipt(rating_parcel(1, event_id="another"))
        assert [entry.code for entry in receipt.quarantined] == ["clone_suspected"]
    # The receipt may be lost: who has not heard of the number is told again, by link as by stick.
    assert school.check_in().quarantined == receipt.quarantined
    assert school.check_in(acknowledged_seq=1).quarantined == ()
    assert _rows() == before
    assert CloneAlarm.objects.get().other_event_id == "another"
    assert AuditEvent.objects.count() == audit + 1


def test_a_batch_that_another_key_signed_keeps_nothing(school):
    answer = school.send_parcels(rating_parcel(1), key=ec.generate_private_key(ec.SECP384R1()))
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")
    assert not ReceivedParcel.objects.exists()


def test_a_batch_in_another_nodes_name_keeps_nothing(school, other_school):
    answer = school.send_parcels(rating_parcel(1), node_id=other_school.node_id)
    assert (answer.status_code, answer.json()["code"]) == (403, "node_mismatch")
    assert not ReceivedParcel.objects.exists()


def test_impossible_numbers_and_names_keep_nothing(school):
    for parcel in (rating_parcel(0), rating_parcel(2**70), rating_parcel(1, event_id="x" * 65)):
        assert school.send_parcels(rating_parcel(1), parcel).status_code == 400
    assert not ReceivedParcel.objects.exists()


def test_a_deflated_batch_is_read_and_a_bomb_is_refused(school):
    assert school.send_parcels(rating_parcel(1), deflate=True).status_code == 200
    bomb = zlib.compress(b"0" * (9 * 1024 * 1024))
    answer = school.post("parcels", bomb, headers={"Content-Encoding": "deflate"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert school.post("parcels", b"0" * (9 * 1024 * 1024)).json()["code"] == "body_too_large"
    assert school.post("parcels", b"0", headers={"Content-Encoding": "deflate"}).json()["code"] == "body_damaged"
