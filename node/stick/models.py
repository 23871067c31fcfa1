"""Each reading and writing of a stick: how far it is, and what came of it."""

from __future__ import annotations

from django.db import models


class StickTrip(models.Model):
    """One reading or writing; the page shows the newest."""

    class Way(models.TextChoices):
        """Seen from the school."""

        BRING_IN = "bring_in"
        WRITE_OUT = "write_out"

    class Status(models.TextChoices):
        """RUNNING → DONE | FAILED; one that is RUNNING without its process was cut."""

        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    way = models.CharField(max_length=12, choices=Way.choices)
    place = models.CharField(max_length=4096)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.RUNNING)
    step = models.CharField(max_length=32, blank=True)
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    error_fields = models.JSONField(default=dict)
    outcome = models.JSONField(default=dict)
    """Plain JSON of a BroughtIn or a WrittenOut."""
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        ordering = ("-pk",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status="running", ended_at=None)
                | (~models.Q(status="running") & models.Q(ended_at__isnull=False)),
                name="stick_trip_ended_has_time",
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"{self.way} {self.pk} ({self.status})"
