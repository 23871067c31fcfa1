"""The outbox's tables: one row an event, in the order in which the school made them."""

from __future__ import annotations

from django.db import models

from federation.wire.feedback import ParcelKind


class Epoch(models.Model):
    """The one row that names the present numbering of parcels; a restored database gets a new name."""

    name = models.CharField(max_length=32)
    is_only = models.BooleanField(default=True, unique=True)

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="outbox_epoch_one_row")]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"epoch {self.name}"


class ParcelQuerySet(models.QuerySet["Parcel"]):
    """Named selections of parcels."""

    def waiting(self) -> ParcelQuerySet:
        """Those that the centre has not acknowledged, oldest first."""
        return self.filter(is_acknowledged=False).order_by("seq")


class Parcel(models.Model):
    """An append-only event: the centre's word is added to it, and a withdrawal takes the teacher's words out."""

    class Kind(models.TextChoices):
        """What the body is; the wire's own names."""

        RATING = ParcelKind.RATING.value
        TOMBSTONE = ParcelKind.TOMBSTONE.value

    # An AutoField is AUTOINCREMENT on SQLite: a number is never given twice, even after the newest row is gone.
    seq = models.AutoField(primary_key=True)
    event_id = models.CharField(max_length=32, unique=True)
    record_id = models.CharField(max_length=32, db_index=True)
    revision = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    body = models.JSONField()
    appended_at = models.DateTimeField()
    is_acknowledged = models.BooleanField(default=False)
    quarantine_code = models.CharField(max_length=64, blank=True, default="")

    objects = ParcelQuerySet.as_manager()

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [
            models.UniqueConstraint(fields=["record_id", "revision"], name="outbox_parcel_record_revision"),
            models.CheckConstraint(condition=models.Q(revision__gte=1), name="outbox_parcel_revision_positive"),
        ]
        indexes = [
            models.Index(fields=["seq"], condition=models.Q(is_acknowledged=False), name="outbox_parcel_waiting"),
        ]

    def __str__(self) -> str:
        """Name the event for logs, without its content."""
        return f"parcel {self.seq} ({self.kind} {self.record_id} revision {self.revision})"
