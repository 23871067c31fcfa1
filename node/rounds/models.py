"""Round plans as they were signed, the updates that this node made for them, and when the school lets it learn."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from node.rounds.eligibility import CLOSES_AT, IDLE_MINUTES, OPENS_AT


class Plan(models.Model):
    """A round's terms; `envelope` is kept as the director signed it, the rest is read out of it."""

    plan_id = models.CharField(max_length=64, primary_key=True)
    season_id = models.CharField(max_length=64, blank=True)
    """Empty: of a program before seasons, whose plans nobody collects any more."""
    base = models.CharField(max_length=64)
    start = models.CharField(max_length=64, blank=True)
    """The adapter release that training starts from; empty for the base alone."""
    envelope = models.BinaryField()
    issued_at = models.DateTimeField()
    closes_at = models.DateTimeField()
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"plan {self.plan_id}"


class LearningSettings(models.Model):
    """What the school decided about its learning; one row."""

    is_only = models.BooleanField(default=True, unique=True)
    opens_at = models.TimeField(default=OPENS_AT)
    closes_at = models.TimeField(default=CLOSES_AT)
    idle_minutes = models.PositiveIntegerField(null=True, default=IDLE_MINUTES)
    """After so long without a question learning is let at any hour; None: never."""
    stopped_at = models.DateTimeField(null=True)
    stopped_by = models.CharField(max_length=150, blank=True)
    stop_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        """What the database itself refuses."""

        constraints = [models.CheckConstraint(condition=models.Q(is_only=True), name="rounds_learning_one_row")]

    def __str__(self) -> str:
        """Name the row for logs."""
        return "learning settings"


class LocalUpdateQuerySet(models.QuerySet["LocalUpdate"]):
    """Named selections of updates."""

    def waiting(self) -> LocalUpdateQuerySet:
        """Finished ones on which the centre has not given its word, oldest first."""
        return self.filter(status=LocalUpdate.Status.READY).order_by("counter")

    def learnt_record_ids(self) -> set[str]:
        """The ratings that any update was or is learnt from."""
        return {record_id for ids in self.values_list("record_ids", flat=True) for record_id in ids}

    def counting(self) -> LocalUpdateQuerySet:
        """Those that are or may be part of a round."""
        return self.filter(status__in=[LocalUpdate.Status.READY, LocalUpdate.Status.ACCEPTED])

    def unshipped(self) -> LocalUpdateQuerySet:
        """Those of which no release is known yet that has them."""
        return self.counting().filter(release_version=0)


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
    """Of the ratings that were learnt from; those held out are not among them."""
    labels = models.PositiveIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(default=0)
    error_code = models.CharField(max_length=64, blank=True)
    release_version = models.PositiveIntegerField(default=0)
    """Of the release in which it shipped first, as far as this PC knows; 0: of none yet."""
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

    @property
    def file_name(self) -> str:
        """The name of the finished file; its season's SuperNode finds it by the beginning."""
        season_id = self.plan.season_id
        return f"{season_id}-{self.counter}.update" if season_id else f"{self.plan_id}.update"
