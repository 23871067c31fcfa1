"""What the centre forgets, what it keeps, and that a school which was dark for years loses and doubles nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from central.feedback.erasure import school_ratings_erase
from central.feedback.forgetting import parcels_forget
from central.feedback.models import CloneAlarm, Rating, ReceivedParcel
from central.releases.models import Release, ReleaseStatus
from central.retention.cutoff import kept_since
from central.retention.services import retention_keep, retention_show
from central.schools.models import AuditEvent, Node, Nonce
from central.schools.sessions import credentials_expire
from central.training.after_restore import updates_reconcile
from central.training.forgetting import files_forget
from central.training.models import Round, RoundStatus, Update, UpdateStatus
from central.training.offers import receipts_for
from central.training.services import kept_path
from central.training.uploads import upload_show
from federation.wire.feedback import ParcelKind
from tests.central.school import rating_parcel
from tests.central.seasons import collecting, season_small, take_in, update_of
from tests.central.test_rollouts import release_make

YEARS = timedelta(days=3 * 366)


def ages(by=YEARS):
    """Let all that has come be older."""
    for parcel in ReceivedParcel.objects.all():
        ReceivedParcel.objects.filter(pk=parcel.pk).update(received_at=parcel.received_at - by)


def numbers(epoch="epoch-1"):
    return sorted(ReceivedParcel.objects.filter(epoch=epoch).values_list("seq", flat=True))


def said():
    """Return what the centre knows of each record."""
    rows = Rating.objects.order_by("record_id").values_list("record_id", "revision", "stars", "is_deleted", "question")
    return list(rows)


def bad_parcel(seq):
    return rating_parcel(seq, body={"stars": 9})


# From which day on


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)), st.integers(1, 600))  # noqa: DTZ001 - the zone is the strategy's
def test_a_month_is_as_long_as_the_calendar_says_and_begins_with_a_day(now, months):
    since = kept_since(now, months=months)

    assert (since.hour, since.minute, since.second, since.microsecond) == (0, 0, 0, 0)
    assert (now.year - since.year) * 12 + now.month - since.month == months
    assert since.day == min(now.day, 28)
    assert kept_since(now + timedelta(hours=1), months=months) >= since


# Parcels


def test_only_what_is_below_the_acknowledged_number_and_waits_for_nobody_is_forgotten(school, now):
    assert school.receipt(*map(rating_parcel, (1, 2)), bad_parcel(3), *map(rating_parcel, (4, 5))).acknowledged_seq == 5
    assert school.receipt(rating_parcel(2, event_id="another")).quarantined
    # Behind a gap: nobody has been told that they are safe.
    school.receipt(*map(rating_parcel, (8, 9)))
    before = said()
    ages()

    assert parcels_forget(before=now, most=1_000, batch_rows=2) == 2
    assert numbers() == [2, 3, 5, 8, 9]
    assert CloneAlarm.objects.count() == 1
    assert said() == before


def test_what_is_young_stays_and_one_sweep_takes_no_more_than_it_may(school, now):
    school.receipt(*map(rating_parcel, range(1, 7)))
    assert parcels_forget(before=now - YEARS, most=1_000) == 0
    ages()
    school.receipt(*map(rating_parcel, range(7, 10)))

    assert parcels_forget(before=now - timedelta(days=366), most=2, batch_rows=1) == 2
    assert numbers() == list(range(3, 10))
    assert parcels_forget(before=now - timedelta(days=366), most=100, batch_rows=2) == 4
    assert numbers() == [7, 8, 9]


def test_a_school_that_was_dark_for_years_loses_nothing_and_doubles_nothing(school, now):
    sent = [*map(rating_parcel, (1, 2)), bad_parcel(3), rating_parcel(4)]
    heard = school.receipt(*sent[:2])
    # Its answer was lost with the link.
    unheard = school.receipt(*sent)
    before = said()
    ages()
    parcels_forget(before=now, most=1_000)
    assert numbers() == [3, 4]

    # A stick out of a drawer brings the first batch once more, and the link the second.
    late = school.receipt(*sent[:2])
    assert (heard.acknowledged_seq, late.acknowledged_seq, late.acknowledged_event) == (2, 4, "event-4")
    assert school.receipt(*sent) == unheard
    assert [entry.seq for entry in unheard.quarantined] == [3]
    assert (numbers(), said()) == ([3, 4], before)

    # It goes on where it was.
    new = rating_parcel(5)
    edited = rating_parcel(6, record_id="record-1", revision=2)
    gone = rating_parcel(7, record_id="record-2", revision=2, kind=ParcelKind.TOMBSTONE, body={})
    assert school.receipt(new, edited, gone).acknowledged_seq == 7
    records = {record: (revision, deleted) for record, revision, _stars, deleted, _question in said()}
    after = {"record-1": (2, False), "record-2": (2, True), "record-4": (1, False), "record-5": (1, False)}
    assert records == after

    # Its database comes back from a backup of long ago: a new numbering brings all that it has once more.
    ages()
    parcels_forget(before=now, most=1_000)
    school.epoch = "epoch-2"
    again = [*sent, new, edited, gone]
    assert school.receipt(*again).acknowledged_seq == 7
    assert {record: (revision, deleted) for record, revision, _stars, deleted, _question in said()} == after
    assert not ReceivedParcel.objects.filter(record_id="record-2").exclude(body={}).exists()
    assert CloneAlarm.objects.count() == 0


def test_a_check_in_after_years_is_told_what_is_safe_and_what_waits(school, now):
    school.receipt(rating_parcel(1), bad_parcel(2), rating_parcel(3))
    ages()
    parcels_forget(before=now, most=1_000)
    answer = school.check_in()

    assert (answer.acknowledged_seq, answer.acknowledged_event) == (3, "event-3")
    assert [entry.seq for entry in answer.quarantined] == [2]


def test_words_that_were_erased_on_request_do_not_come_back_by_a_number_that_is_forgotten(school, now):
    sent = [rating_parcel(1), bad_parcel(2), rating_parcel(3)]
    school.receipt(*sent)
    node = Node.objects.select_related("school").get(pk=school.node_id)
    assert school_ratings_erase(school=node.school, actor="command line", reason="asked", now=now) == 2
    ages()
    parcels_forget(before=now, most=1_000)
    school.receipt(*sent)
    school.epoch = "epoch-2"
    school.receipt(sent[0], sent[2])

    assert not Rating.objects.exclude(question="").exists()
    assert not ReceivedParcel.objects.exclude(body={}).exists()


# Updates


def combined(round_, now):
    Round.objects.filter(pk=round_.pk).update(
        status=RoundStatus.COMPLETED, ended_at=now, release=release_make(2), version=None
    )


def test_bytes_of_a_completed_round_go_and_its_receipts_stay(school, other_school, disk, settings):
    season = season_small()
    content = update_of(school, season)
    old = take_in(content, disk)
    combined(collecting(season), timezone.now() - timedelta(days=400))
    Round.objects.create(
        season=season,
        number=2,
        round_id="second",
        wanted=2,
        minimum=1,
        opened_by="test",
        opened_at=timezone.now(),
        closes_at=timezone.now() + timedelta(days=9),
    )
    young = take_in(update_of(other_school, season), disk)
    assert kept_path(update=old, disk=disk).exists()
    found = {each.name: each.rows for each in retention_show(disk=disk, now=timezone.now())}
    assert found["training.update"] == 1

    retention_keep(disk=disk, actor="centre", now=timezone.now())

    assert not kept_path(update=old, disk=disk).exists()
    assert kept_path(update=young, disk=disk).exists()
    # Whichever way the school offers it again, it hears that it is safe, and nothing counts twice.
    node = Node.objects.get(pk=school.node_id)
    assert upload_show(node=node, sha256=old.digest, disk=disk).accepted
    assert [receipt.accepted for receipt in receipts_for(node=node, digests=[old.digest])] == [True]
    assert take_in(content, disk) == old
    assert not kept_path(update=old, disk=disk).exists()
    assert Update.objects.count() == 2
    # After a restore nobody misses it.
    since = kept_since(timezone.now(), months=settings.UPDATE_MONTHS)
    reconciled = updates_reconcile(disk=disk, kept_since=since, now=timezone.now())
    assert (reconciled.taken_in, reconciled.asked_again, reconciled.missing) == (0, 0, 0)


@pytest.mark.parametrize("waits", ["in quarantine", "unsigned", "young"])
def test_bytes_that_a_round_may_still_count_stay(school, disk, waits):
    season = season_small()
    update = take_in(update_of(school, season), disk)
    combined(round_ := collecting(season), timezone.now() - timedelta(days=100 if waits == "young" else 400))
    if waits == "in quarantine":
        Update.objects.filter(pk=update.pk).update(status=UpdateStatus.QUARANTINED, code="update_outlier")
    if waits == "unsigned":
        Release.objects.filter(round=round_).update(status=ReleaseStatus.AWAITING_SIGNATURE)

    assert files_forget(disk=disk, before=kept_since(timezone.now(), months=12), most=100) == 0
    assert kept_path(update=update, disk=disk).exists()


# All rules


def test_what_has_gone_is_said_in_the_audit_once_and_the_rest_stays(school, disk, django_user_model):
    now = timezone.now()
    person = django_user_model.objects.create_user("Гулнора")
    kind = ContentType.objects.get_for_model(Node)
    for days in (1, 500):
        row = LogEntry.objects.create(
            user=person, content_type=kind, object_id="1", object_repr="x", action_flag=2, action_time=now
        )
        LogEntry.objects.filter(pk=row.pk).update(action_time=now - timedelta(days=days))
        Session.objects.create(session_key=f"key-{days}", session_data="", expire_date=now + timedelta(days=100 - days))
    school.receipt(*map(rating_parcel, (1, 2, 3)))
    ages()

    shown = {each.name: each.rows for each in retention_show(disk=disk, now=now)}
    went = {each.name: each.rows for each in retention_keep(disk=disk, actor="centre", now=now)}
    again = {each.name: each.rows for each in retention_keep(disk=disk, actor="centre", now=now)}

    expected = {"feedback.receivedparcel": 2, "training.update": 0, "admin.logentry": 1, "sessions.session": 1}
    assert shown == went == expected
    assert set(again.values()) == {0}
    rows = AuditEvent.objects.filter(new="forgotten").values_list("entity", flat=True)
    assert sorted(rows) == ["admin.logentry", "feedback.receivedparcel", "sessions.session"]
    assert (LogEntry.objects.count(), Session.objects.filter(session_key="key-1").count()) == (1, 1)
    assert Rating.objects.count() == 3


def test_the_command_shows_what_may_go_and_lets_it_go(school, disk, capsys):
    school.receipt(*map(rating_parcel, (1, 2, 3)))
    ages()

    def told(way):
        call_command("retention", way, "--json")
        rules = json.loads(capsys.readouterr().out)["rules"]
        return {rule["name"]: rule["rows"] for rule in rules}["feedback.receivedparcel"]

    assert [told("show"), told("show"), told("keep"), told("show")] == [2, 2, 2, 0]
    assert numbers() == [3]


def test_challenges_that_have_ended_go_in_batches_and_the_others_stay(school, now):
    node = Node.objects.get(pk=school.node_id)
    minute = timedelta(minutes=1)
    Nonce.objects.bulk_create(
        Nonce(node=node, value=f"nonce-{number}", expires_at=now - minute if number < 2_400 else now + minute)
        for number in range(2_500)
    )

    assert credentials_expire(now=now) >= 2_400
    assert Nonce.objects.filter(value__startswith="nonce-").count() == 100


@pytest.mark.parametrize("seq", [1, 2])
def test_another_parcel_under_a_forgotten_number_is_told_apart_by_the_newest(school, now, seq):
    """Two PCs of one identity, or one that was put back: what the acknowledgement names is not theirs."""
    school.receipt(*map(rating_parcel, (1, 2, 3)))
    ages()
    parcels_forget(before=now, most=1_000)
    before = said()
    receipt = school.receipt(replace(rating_parcel(seq), event_id="other", record_id="other"))

    # By this name the PC finds out, begins a new numbering, and sends it once more.
    assert (receipt.acknowledged_seq, receipt.acknowledged_event) == (3, "event-3")
    assert said() == before
    school.epoch = "epoch-2"
    school.receipt(replace(rating_parcel(1), event_id="other", record_id="other"))
    assert [row[0] for row in said()] == ["other", "record-1", "record-2", "record-3"]
