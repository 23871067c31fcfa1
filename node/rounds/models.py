"""Round plans as they were signed, and the updates that this node made for them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Plan(models.Model):
    """A round's terms; `envelope` is kept as the director signed it, the rest is read out of it."""

    plan_id = models.CharField(max_length=64, primary_key=True)
    base = models.CharField(max_length=64)
    envelope = models.BinaryField()
    issued_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"plan {self.plan_id}"


class LocalUpdateQuerySet(models.QuerySet["LocalUpdate"]):
    """Named selections of updates."""

    def waiting(self) -> LocalUpdateQuerySet:
        """Finished ones on which the centre has not given its word, oldest first."""
        return self.filter(status=LocalUpdate.Status.READY).order_by("counter")

    def counting(self) -> LocalUpdateQuerySet:
        """Those that are or may be part of a round."""
        return self.filter(status__in=[LocalUpdate.Status.READY, LocalUpdate.Status.ACCEPTED])


class LocalUpdate(models.Model):
    """What this node learnt for one plan, and where it went."""

    class Status(models.TextChoices):
        """TRAINING → READY → ACCEPTED | REFUSED; TRAINING → FAILED; TRAINING again after a power cut."""

        TRAINING = "training", _("Being learnt")
        READY = "ready", _("Waits for contact")
        ACCEPTED = "accepted", _("Safe at the centre")
        REFUSED = "refused", _("Refused by the centre")
        FAILED = "failed", _("Learning failed")

    plan = models.OneToOneField(Plan, on_delete=models.PROTECT, related_name="update")
    counter = models.PositiveIntegerField(unique=True)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.TRAINING)
    record_ids = models.JSONField(default=list)
    labels = models.PositiveIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = LocalUpdateQuerySet.as_manager()

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=["training", "failed"]) | ~models.Q(sha256=""),
                name="rounds_update_ready_has_digest",
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"update {self.counter} for plan {self.plan_id} ({self.status})"
