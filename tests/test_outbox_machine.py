"""The outbox and its centre under every order of events, cuts, repeats and restores: both sides' own services, no link.

Batches and receipts travel through the air, where they are lost, kept, repeated and swapped in order; the centre
forgets parcels that have done their work, as after years. What must hold at every step: what the node believes to be
safe has come to the centre, and words that were taken back are nowhere. In the end, when all is delivered, the centre
has each record of the node once, as the node has it.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from central.feedback.forgetting import parcels_forget
from central.feedback.models import Rating, ReceivedParcel
from central.feedback.services import acknowledgement, cursor_of, parcels_take_in
from central.schools.invitations import school_invite
from federation.wire.feedback import ParcelBatch, ParcelKind
from node.outbox.models import Epoch, Parcel
from node.outbox.services import (
    acknowledged_seq,
    epoch_name,
    parcel_append,
    parcels_acknowledge,
    parcels_due,
    parcels_erase,
    parcels_waiting,
)
from tests.central.school import rating_parcel

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
BODY = rating_parcel(1).body
FEW = st.integers(0, 7)


class Outbox(RuleBasedStateMachine):
    """One node and its centre."""

    @initialize()
    def begin(self):
        Parcel.objects.all().delete()
        Epoch.objects.all().delete()
        _number_from(0)
        self.node = school_invite(name="Мактаби №1", region="", actor="test", now=NOW).node
        self.records, self.withdrawn, self.bad = [], set(), set()
        self.air, self.receipts, self.backup = [], [], None
        self.forgotten = set()

    @rule(stars=st.integers(1, 5))
    def say(self, stars):
        record_id = f"record-{len(self.records)}-{self.node.pk.hex}"
        self.records.append(record_id)
        self._append(record_id, stars)

    @rule()
    def say_what_the_centre_cannot_use(self):
        record_id = f"bad-{len(self.bad)}-{self.node.pk.hex}"
        self.bad.add(record_id)
        self._append(record_id, 9)

    @precondition(lambda self: self.records)
    @rule(which=FEW, stars=st.integers(1, 5))
    def edit(self, which, stars):
        record_id = self.records[which % len(self.records)]
        if self._is_alive(record_id):
            self._append(record_id, stars)

    @precondition(lambda self: self.records)
    @rule(which=FEW)
    def withdraw(self, which):
        record_id = self.records[which % len(self.records)]
        if self._is_alive(record_id):
            with transaction.atomic():
                parcels_erase(record_id=record_id)
                self._parcel(record_id, ParcelKind.TOMBSTONE, {})

    @rule(size=st.integers(1, 4))
    def send(self, size):
        due = parcels_due(limit=size)
        if due:
            self.air.append(ParcelBatch(node_id=str(self.node.pk), epoch=epoch_name(), parcels=due))

    @precondition(lambda self: self.air)
    @rule(which=FEW)
    def deliver(self, which):
        """Deliver any batch that was ever sent, also once more."""
        batch = self.air[-1 - which % len(self.air)]
        self.receipts.append(parcels_take_in(node=self.node, batch=batch, now=NOW))

    @precondition(lambda self: self.receipts)
    @rule(which=FEW)
    def hear_a_receipt(self, which):
        self._hear(self.receipts[-1 - which % len(self.receipts)])

    @rule()
    def check_in(self):
        safe = acknowledgement(cursor=cursor_of(node=self.node, epoch=epoch_name()), heard_seq=acknowledged_seq())
        parcels_acknowledge(
            epoch=epoch_name(),
            acknowledged_seq=safe.seq,
            acknowledged_event=safe.event_id,
            quarantined=safe.quarantined,
        )

    @rule()
    def forget(self):
        """Let years pass at the centre, and none on the way: what is under way stays so."""
        held = set(self._received().values_list("event_id", flat=True))
        parcels_forget(before=NOW + timedelta(days=1), most=1_000, batch_rows=2)
        self.forgotten |= held - set(self._received().values_list("event_id", flat=True))

    @rule()
    def back_up(self):
        self.backup = (epoch_name(), list(Parcel.objects.order_by("seq")))

    @precondition(lambda self: self.backup is not None)
    @rule()
    def restore(self):
        """Put the database back as it was, its numbering included."""
        name, rows = self.backup
        Parcel.objects.all().delete()
        Epoch.objects.update_or_create(is_only=True, defaults={"name": name})
        Parcel.objects.bulk_create(rows)
        _number_from(rows[-1].seq if rows else 0)

    @invariant()
    def what_is_believed_to_be_safe_is_at_the_centre(self):
        safe = set(Parcel.objects.filter(is_acknowledged=True).values_list("event_id", flat=True))
        assert safe <= set(self._received().values_list("event_id", flat=True)) | self.forgotten

    @invariant()
    def words_that_were_taken_back_are_nowhere(self):
        for record_id in Rating.objects.filter(node=self.node, is_deleted=True).values_list("record_id", flat=True):
            assert not [body for body in self._received(record_id=record_id).values_list("body", flat=True) if body]

    def teardown(self):
        """Let everything through, and compare."""
        for _ in range(4 * len(self.records) + 40):
            self.check_in()
            if not parcels_waiting():
                break
            batch = ParcelBatch(node_id=str(self.node.pk), epoch=epoch_name(), parcels=parcels_due(limit=3))
            self._hear(parcels_take_in(node=self.node, batch=batch, now=NOW))
        assert parcels_waiting() == 0
        self.what_is_believed_to_be_safe_is_at_the_centre()
        self.words_that_were_taken_back_are_nowhere()
        for row in Parcel.objects.filter(record_id__startswith="bad-"):
            assert row.quarantine_code == "malformed_document"
        for record_id, (revision, body) in self._said().items():
            rating = Rating.objects.get(node=self.node, record_id=record_id)
            if not body or rating.is_deleted:
                # A tombstone that came before a restore stays: nobody who took words back meets them again.
                assert (rating.is_deleted, rating.question) == (True, "")
            else:
                assert (rating.revision, rating.stars) == (revision, body["stars"])

    def _said(self):
        rows = Parcel.objects.filter(record_id__startswith="record-").order_by("revision")
        return {row.record_id: (row.revision, row.body) for row in rows}

    def _received(self, **chosen):
        return ReceivedParcel.objects.filter(node=self.node, **chosen)

    def _is_alive(self, record_id):
        newest = Parcel.objects.filter(record_id=record_id).order_by("-revision").first()
        return newest is not None and newest.kind == Parcel.Kind.RATING

    def _append(self, record_id, stars):
        with transaction.atomic():
            self._parcel(record_id, ParcelKind.RATING, {**BODY, "stars": stars})

    def _parcel(self, record_id, kind, body):
        revision = Parcel.objects.filter(record_id=record_id).count() + 1
        parcel_append(record_id=record_id, revision=revision, kind=kind, body=json.loads(json.dumps(body)), now=NOW)

    def _hear(self, receipt):
        parcels_acknowledge(
            epoch=receipt.epoch,
            acknowledged_seq=receipt.acknowledged_seq,
            acknowledged_event=receipt.acknowledged_event,
            quarantined=receipt.quarantined,
        )


def _number_from(newest):
    """Let the next parcel's number be the one after `newest`, as the database's own file would say."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = 'outbox_parcel'", [newest])


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="a node's database is SQLite, numbering included")
def test_in_any_order_of_batches_receipts_and_restores_nothing_is_lost_doubled_or_said_again():
    run_state_machine_as_test(
        Outbox,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
