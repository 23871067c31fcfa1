"""What sync remembers: the newest assignment as it was signed, and what each step of each contact cost."""

from __future__ import annotations

from django.db import models


class SeenAssignment(models.Model):
    """The director's newest word that this node accepted; one row."""

    is_only = models.BooleanField(default=True, unique=True)
    sequence = models.PositiveBigIntegerField()
    release = models.CharField(max_length=64, blank=True)
    waiting_reason = models.CharField(max_length=64, blank=True)
    envelope = models.BinaryField()
    received_at = models.DateTimeField()

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="sync_assignment_one_row")]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"assignment {self.sequence}"


class LinkSettings(models.Model):
    """What the head decided about the school's link and its other PCs; one row."""

    is_only = models.BooleanField(default=True, unique=True)
    cap_kbit_s = models.PositiveIntegerField(null=True)
    cap_from = models.TimeField(null=True)
    cap_until = models.TimeField(null=True)
    """The hours in which the cap binds; none: always."""
    opens_at = models.TimeField(null=True)
    closes_at = models.TimeField(null=True)
    is_shared = models.BooleanField(default=True)
    """Whether this PC gives chunks of releases to the school's other PCs, and takes them."""

    class Meta:
        """What the database itself refuses."""

        constraints = [
            models.CheckConstraint(condition=models.Q(is_only=True), name="sync_link_one_row"),
            models.CheckConstraint(
                condition=models.Q(opens_at__isnull=True, closes_at__isnull=True)
                | models.Q(opens_at__isnull=False, closes_at__isnull=False),
                name="sync_link_window_has_both_ends",
            ),
            models.CheckConstraint(
                condition=models.Q(cap_from__isnull=True, cap_until__isnull=True)
                | models.Q(cap_from__isnull=False, cap_until__isnull=False),
                name="sync_link_cap_hours_have_both_ends",
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs."""
        return "link settings"


class CheckInCount(models.Model):
    """How many check-ins this node has made, by link and by stick, and which of them the centre has heard; one row."""

    is_only = models.BooleanField(default=True, unique=True)
    number = models.PositiveBigIntegerField(default=0)
    epoch = models.CharField(max_length=32, blank=True)
    """To which the next two belong."""
    heard_number = models.PositiveBigIntegerField(default=0)
    restored_number = models.PositiveBigIntegerField(default=0)
    """Of the centre's newest word that it was restored, which was followed here."""

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="sync_checkin_count_one_row")]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"check-in {self.number}"


class SyncLog(models.Model):
    """One step of one contact."""

    tick = models.CharField(max_length=32, db_index=True)
    step = models.CharField(max_length=32)
    started_at = models.DateTimeField()
    seconds = models.FloatField()
    bytes_up = models.PositiveBigIntegerField(default=0)
    bytes_down = models.PositiveBigIntegerField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        indexes = [models.Index(fields=["step", "-started_at"], name="sync_log_step")]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"{self.step} at {self.started_at:%Y-%m-%d %H:%M:%S}"
