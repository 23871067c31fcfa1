"""A teacher's rating and the parcel that tells of it are one thing."""

import json
import sqlite3

import pytest
from django.db import IntegrityError, transaction

from federation.wire.canonical import from_plain
from federation.wire.feedback import ParcelKind, Quarantined, RatingBody
from node import settings as node_settings
from node.outbox.models import Parcel
from node.outbox.services import (
    OutboxOutsideTransaction,
    epoch_name,
    parcel_append,
    parcels_acknowledge,
    parcels_due,
    parcels_waiting,
)
from node.ratings.models import Rating
from node.ratings.services import Opinion, RatingRefused, rating_record, rating_withdraw, teacher_pseudonym
from tests.node.conftest import NOW, answer_make

GOOD = Opinion(stars=2, reasons=("wrong",), correction="Душанбе. Тел. +992 90 123 45 67", subject="geography", grade=6)


def record(answer, teacher, root, opinion=GOOD):
    return rating_record(answer=answer, teacher=teacher, opinion=opinion, now=NOW, root=root)


def test_a_rating_waits_with_a_parcel_that_says_the_same(answer, teacher, root):
    rating = record(answer, teacher, root)
    (parcel,) = parcels_due(limit=10)
    body = from_plain(RatingBody, parcel.body)
    assert (parcel.record_id, parcel.revision, parcel.kind) == (rating.record_id, 1, ParcelKind.RATING)
    assert body.correction == rating.correction == "Душанбе. Тел. [рақами телефон]"
    assert (body.stars, body.release, body.grade) == (2, answer.release, 6)
    assert body.teacher == teacher_pseudonym(teacher=teacher, root=root)
    assert teacher.username not in json.dumps(parcel.body)


def test_a_crash_before_the_commit_leaves_neither_rating_nor_parcel(answer, teacher, root):
    def record_and_crash():
        with transaction.atomic():
            record(answer, teacher, root)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_and_crash()
    assert (Rating.objects.count(), Parcel.objects.count()) == (0, 0)


def test_a_parcel_that_the_database_refuses_takes_its_rating_back_too(answer, teacher, root):
    first = record(answer, teacher, root)
    Parcel.objects.update(record_id=first.record_id, revision=2)
    with pytest.raises(IntegrityError), transaction.atomic():
        record(answer, teacher, root)
    assert list(Rating.objects.values_list("revision", "is_active")) == [(1, True)]


@pytest.mark.django_db(transaction=True)
def test_a_parcel_cannot_be_appended_outside_a_transaction():
    with pytest.raises(OutboxOutsideTransaction):
        parcel_append(record_id="r", revision=1, kind=ParcelKind.TOMBSTONE, body={}, now=NOW)
    assert Parcel.objects.count() == 0


def test_an_edit_is_a_new_revision_and_keeps_what_was_said_before(answer, teacher, root):
    first = record(answer, teacher, root)
    second = record(answer, teacher, root, Opinion(stars=4))
    assert (second.record_id, second.revision) == (first.record_id, 2)
    assert [rating.stars for rating in Rating.objects.order_by("revision")] == [2, 4]
    assert [rating.stars for rating in Rating.objects.active()] == [4]
    assert [parcel.revision for parcel in parcels_due(limit=10)] == [1, 2]


def test_a_withdrawn_rating_no_longer_counts_and_sends_a_tombstone(answer, teacher, root):
    rating = record(answer, teacher, root)
    rating_withdraw(rating=rating, now=NOW)
    assert not Rating.objects.active().exists()
    assert [(parcel.kind, parcel.revision, parcel.body) for parcel in parcels_due(limit=10)] == [
        (ParcelKind.TOMBSTONE, 1, {}),
        (ParcelKind.TOMBSTONE, 2, {}),
    ]


def test_a_rating_after_a_withdrawal_is_a_record_of_its_own_which_no_tombstone_takes_away(answer, teacher, root):
    rating = record(answer, teacher, root)
    rating_withdraw(rating=rating, now=NOW)
    again = record(answer, teacher, root)
    assert (again.record_id != rating.record_id, again.revision) == (True, 1)
    assert [parcel.kind for parcel in parcels_due(limit=10) if parcel.record_id == again.record_id] == [
        ParcelKind.RATING
    ]


def test_the_words_of_a_withdrawn_rating_leave_the_outbox_though_the_centre_has_them(answer, teacher, root):
    rating = record(answer, teacher, root)
    acknowledge()
    rating_withdraw(rating=rating, now=NOW)
    assert "Душанбе" not in json.dumps(list(Parcel.objects.values_list("body", flat=True)), ensure_ascii=False)


def test_a_batch_is_bounded_by_its_bytes_and_never_empty(teacher, root):
    for _ in range(4):
        record(answer_make(text="Хуҷанд аст. " * 50), teacher, root)
    assert len(parcels_due(limit=10)) == 4
    assert len(parcels_due(limit=10, limit_bytes=4000)) == 2
    assert len(parcels_due(limit=10, limit_bytes=1)) == 1


def test_the_models_own_text_is_no_correction(answer, teacher, root):
    assert record(answer, teacher, root, Opinion(stars=1, correction=f" {answer.text} ")).correction == ""


@pytest.mark.parametrize(
    "opinion", [Opinion(stars=0), Opinion(stars=6), Opinion(stars=3, grade=12), Opinion(stars=3, reasons=("x",))]
)
def test_an_opinion_out_of_range_is_refused_and_not_kept(answer, teacher, root, opinion):
    with pytest.raises(RatingRefused):
        record(answer, teacher, root, opinion)
    assert (Rating.objects.count(), Parcel.objects.count()) == (0, 0)


def test_an_answer_that_no_release_gave_cannot_be_rated(teacher, root):
    with pytest.raises(RatingRefused):
        record(answer_make(status="failed", release="", text=""), teacher, root)


def test_a_receipt_for_another_epoch_acknowledges_nothing(answer, teacher, root):
    record(answer, teacher, root)
    assert parcels_acknowledge(epoch="another", acknowledged_seq=99, acknowledged_event="x") == 0
    assert parcels_waiting() == 1


def test_an_acknowledgement_is_cumulative_and_keeps_the_centres_objection(answer, teacher, root):
    for stars in (1, 2, 3):
        record(answer, teacher, root, Opinion(stars=stars))
    first, second, third = parcels_due(limit=10)
    assert acknowledge(up_to=second, quarantined=(Quarantined(seq=first.seq, code="odd"),)) == 2
    assert parcels_due(limit=10) == (third,)
    assert Parcel.objects.get(seq=first.seq).quarantine_code == "odd"


def test_a_restored_database_begins_a_new_epoch(answer, teacher, root):
    record(answer, teacher, root)
    old = epoch_name()
    parcels_acknowledge(epoch=old, acknowledged_seq=10_000, acknowledged_event="x")
    assert epoch_name() != old
    assert parcels_waiting() == 1


def test_an_acknowledgement_of_an_event_that_a_restored_database_never_had_marks_nothing_as_safe(answer, teacher, root):
    record(answer, teacher, root)
    old = epoch_name()
    # The backup ended before the centre's parcel 1 was written; what has its number now is another.
    assert parcels_acknowledge(epoch=old, acknowledged_seq=newest().seq, acknowledged_event="lost") == 0
    assert (epoch_name() != old, parcels_waiting()) == (True, 1)


def test_a_parcel_for_which_the_centre_holds_another_event_begins_a_new_epoch(answer, teacher, root):
    record(answer, teacher, root)
    old = epoch_name()
    acknowledge(quarantined=(Quarantined(seq=newest().seq, code="clone_suspected"),))
    assert (epoch_name() != old, parcels_waiting()) == (True, 1)


def newest():
    return Parcel.objects.latest("seq")


def acknowledge(*, up_to=None, quarantined=()):
    reached = up_to or newest()
    return parcels_acknowledge(
        epoch=epoch_name(),
        acknowledged_seq=reached.seq,
        acknowledged_event=reached.event_id,
        quarantined=quarantined,
    )


def test_a_number_is_never_given_twice_even_after_the_newest_parcel_is_gone(answer, teacher, root):
    record(answer, teacher, root)
    newest = Parcel.objects.get().seq
    Parcel.objects.all().delete()
    record(answer, teacher, root, Opinion(stars=3))
    assert Parcel.objects.get().seq > newest


def test_the_nodes_database_is_set_to_keep_its_last_commit_in_a_power_cut(tmp_path):
    pragmas = node_settings.DATABASES["default"]["OPTIONS"]["init_command"]
    with sqlite3.connect(tmp_path / "probe.sqlite3") as probe:
        probe.executescript(pragmas)
        assert probe.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert probe.execute("PRAGMA synchronous").fetchone() == (2,)
    probe.close()
