"""What the doors take: packed and compressed bodies under a hard bound, no more than so often, and no parcel twice."""

import bz2
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.cache import caches
from rest_framework.throttling import SimpleRateThrottle

from central.feedback.models import OutboxCursor, Rating, ReceivedParcel
from federation.trust.envelopes import PACKED_TYPE, PARCELS, envelope_pack, envelope_seal, envelope_unpack
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.feedback import MAX_BATCH_BYTES, BatchReceipt, ParcelBatch, ParcelKind
from tests.central.school import rating_parcel

pytestmark = pytest.mark.django_db
UNLIMITED = dict.fromkeys(("enrolments", "sessions", "leases"))
RATES = UNLIMITED | {"addresses": "8/min", "check-ins": "2/min", "parcels": "2/min"}


@pytest.fixture
def limits(monkeypatch, school, other_school):
    """Set low rates after the schools have enrolled."""
    _counters_clear()
    monkeypatch.setattr(SimpleRateThrottle, "THROTTLE_RATES", RATES)
    yield
    _counters_clear()


def _counters_clear():
    for cache in caches.all():
        cache.clear()


def sealed(school, *parcels, key=None):
    batch = ParcelBatch(node_id=school.node_id, epoch=school.epoch, parcels=parcels)
    return envelope_seal(payload=canonical_bytes(batch), kind=PARCELS, key=key or school.key)


def post_packed(school, body):
    headers = {"Content-Encoding": "bzip2", "Authorization": f"Bearer {school.token}"}
    return school.client.post("/api/v1/parcels", bz2.compress(body), content_type=PACKED_TYPE, headers=headers)


def rows():
    return (
        list(ReceivedParcel.objects.order_by("epoch", "seq").values_list("epoch", "seq", "event_id", "body")),
        list(Rating.objects.order_by("record_id").values_list("record_id", "revision", "stars", "is_deleted")),
        list(OutboxCursor.objects.order_by("epoch").values_list("epoch", "acknowledged_seq")),
    )


def test_a_packed_batch_is_the_envelope_that_was_signed(school):
    envelope = sealed(school, rating_parcel(1))
    assert envelope_unpack(envelope_pack(envelope)) == envelope
    answer = post_packed(school, envelope_pack(envelope))
    receipt = parse(BatchReceipt, answer.content)
    assert (receipt.acknowledged_seq, receipt.acknowledged_event) == (1, "event-1")


@pytest.mark.parametrize("coding", ["bzip2", "deflate"])
def test_a_bomb_is_refused_before_it_fills_the_memory_and_keeps_nothing(school, coding):
    packed = {"bzip2": bz2.compress, "deflate": zlib.compress}[coding](bytes(64 * MAX_BATCH_BYTES))
    assert len(packed) < MAX_BATCH_BYTES / 10
    answer = school.post("parcels", packed, headers={"Content-Encoding": coding})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.json()["fields"] == {"limit_bytes": str(MAX_BATCH_BYTES)}
    assert rows() == ([], [], [])


@pytest.mark.parametrize("body", [b"", b"no bzip2", bz2.compress(b"x" * 999)[:-4], bz2.compress(b"x") + b"more"])
def test_a_body_that_is_not_whole_is_refused_and_keeps_nothing(school, body):
    answer = school.post("parcels", body, headers={"Content-Encoding": "bzip2"})
    assert (answer.status_code, answer.json()["code"]) == (400, "body_damaged")
    assert rows() == ([], [], [])


def test_a_replayed_batch_gives_its_receipt_again_and_changes_nothing(school):
    envelope = sealed(school, rating_parcel(1))
    first = post_packed(school, envelope_pack(envelope)).json()
    school.receipt(rating_parcel(2, record_id="record-1", revision=2))
    before = rows()
    again = post_packed(school, envelope_pack(envelope)).json()
    assert (first["acknowledged_seq"], again["acknowledged_seq"], again["acknowledged_event"]) == (1, 2, "event-2")
    assert rows() == before


def test_a_batch_of_a_former_epoch_that_is_replayed_does_not_speak_over_the_present_one(school):
    former = sealed(school, rating_parcel(1, record_id="r", body={**rating_parcel(1).body, "stars": 1}))
    post_packed(school, envelope_pack(former))
    school.epoch = "epoch-2"
    school.receipt(rating_parcel(1, record_id="r", body={**rating_parcel(1).body, "stars": 5}))
    before = rows()
    post_packed(school, envelope_pack(former))
    assert rows() == before
    assert Rating.objects.get().stars == 5


def test_what_a_restored_pc_says_anew_counts_though_its_revision_is_no_higher(school):
    school.receipt(rating_parcel(1, record_id="r", revision=2, body={**rating_parcel(1).body, "stars": 1}))
    school.epoch = "epoch-2"
    school.receipt(rating_parcel(1, record_id="r", revision=2, body={**rating_parcel(1).body, "stars": 4}))
    assert Rating.objects.get().stars == 4


def test_a_deletion_of_a_former_epoch_is_not_undone_by_a_restored_pc(school):
    school.receipt(rating_parcel(1, record_id="r"))
    school.receipt(rating_parcel(2, record_id="r", revision=2, kind=ParcelKind.TOMBSTONE, body={}))
    school.epoch = "epoch-2"
    school.receipt(rating_parcel(1, record_id="r"))
    assert Rating.objects.get().is_deleted
    assert not [body for body in ReceivedParcel.objects.values_list("body", flat=True) if body]


def test_a_byte_that_was_changed_on_the_way_keeps_nothing(school):
    packed = envelope_pack(sealed(school, rating_parcel(1)))
    answer = post_packed(school, packed.replace(b'"stars":1', b'"stars":5'))
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")
    answer = post_packed(
        school, envelope_pack(sealed(school, rating_parcel(1), key=ec.generate_private_key(ec.SECP384R1())))
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")
    assert rows() == ([], [], [])


def test_a_batch_of_another_node_in_this_ones_session_keeps_nothing(school, other_school):
    answer = post_packed(school, envelope_pack(sealed(other_school, rating_parcel(1))))
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")
    assert rows() == ([], [], [])


def test_a_node_that_asks_too_often_hears_when_to_come_back_and_holds_up_no_other(limits, school, other_school):
    for _ in range(2):
        assert school.send_parcels(rating_parcel(1)).status_code == 200
    before = rows()
    answer = school.send_parcels(rating_parcel(2))
    assert (answer.status_code, answer.json()["code"]) == (429, "throttled")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert rows() == before
    school.check_in()
    assert other_school.send_parcels(rating_parcel(1)).status_code == 200


def test_an_address_that_guesses_tokens_is_turned_away_before_they_are_looked_up(
    limits, school, django_assert_num_queries
):
    guess = {"Authorization": "Bearer guess"}
    for _ in range(8):
        assert school.client.post("/api/v1/check-ins", headers=guess).status_code == 401
    with django_assert_num_queries(0):
        answer = school.client.post("/api/v1/check-ins", headers=guess)
    assert answer.status_code == 429
    # The header of a proxy that is not ours makes no other address of it.
    answer = school.client.post("/api/v1/check-ins", headers={**guess, "X-Forwarded-For": "198.51.100.7"})
    assert answer.status_code == 429
