"""Parcels as received, where each node's outbox stands, alarms about copied nodes, and the ratings in it all."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from central.schools.models import Node


class ParcelStatus(models.TextChoices):
    """What the centre made of a parcel."""

    ACCEPTED = "accepted", _("accepted")
    QUARANTINED = "quarantined", _("quarantined")


class ReceivedParcel(models.Model):
    """One parcel, never edited; only a tombstone takes the words out of its body."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="parcels", verbose_name=_("school PC"))
    epoch = models.CharField(_("epoch"), max_length=64)
    seq = models.PositiveBigIntegerField(_("number"))
    event_id = models.CharField(_("event"), max_length=64)
    record_id = models.CharField(_("record"), max_length=64)
    revision = models.PositiveIntegerField(_("revision"))
    kind = models.CharField(_("kind"), max_length=16)
    body = models.JSONField(_("body"), default=dict)
    is_erased = models.BooleanField(_("erased"), default=False)
    status = models.CharField(_("status"), max_length=16, choices=ParcelStatus.choices)
    code = models.CharField(_("code"), max_length=64, blank=True)
    received_at = models.DateTimeField(_("received"))

    class Meta:
        ordering = ("-id",)
        verbose_name = _("received parcel")
        verbose_name_plural = _("received parcels")
        indexes = (models.Index(fields=["node", "record_id"], name="parcel_node_record"),)
        constraints = (
            models.UniqueConstraint(fields=["node", "epoch", "seq"], name="parcel_node_epoch_seq_unique"),
            models.CheckConstraint(
                condition=Q(status="accepted", code="") | (Q(status="quarantined") & ~Q(code="")),
                name="parcel_quarantine_has_code",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"


class OutboxCursor(models.Model):
    """Up to which parcel all of a node's epoch are safe here."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="cursors")
    epoch = models.CharField(max_length=64)
    acknowledged_seq = models.PositiveBigIntegerField(default=0)
    checked_in_at = models.DateTimeField(null=True)
    """When the node first said, itself and not by a stick, that this is its numbering."""

    class Meta:
        constraints = (models.UniqueConstraint(fields=["node", "epoch"], name="cursor_node_epoch_unique"),)
        verbose_name = _("outbox position")
        verbose_name_plural = _("outbox positions")

    def __str__(self) -> str:
        return f"{self.epoch}: {self.acknowledged_seq}"


class CloneSign(models.TextChoices):
    """What gave a copy of a node away."""

    SAME_NUMBER = "same_number", _("two different parcels under one number")
    EPOCH_BACK = "epoch_back", _("a numbering that was left has come back")


class CloneResolution(models.TextChoices):
    """What a technician found."""

    ONE_PC = "one_pc", _("one PC, restored from a backup")
    REPLACED = "replaced", _("two PCs; one goes on by a new sheet")


class CloneAlarmQuerySet(models.QuerySet["CloneAlarm"]):
    """Named choices of alarms."""

    def is_open(self) -> CloneAlarmQuerySet:
        """Alarms that nobody has looked into."""
        return self.filter(resolution="")


class CloneAlarm(models.Model):
    """Two PCs seem to use one identity: the node's disk was copied, or restored without a new epoch."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="clone_alarms", verbose_name=_("school PC"))
    sign = models.CharField(_("sign"), max_length=16, choices=CloneSign.choices, default=CloneSign.SAME_NUMBER)
    epoch = models.CharField(_("epoch"), max_length=64)
    seq = models.PositiveBigIntegerField(_("number"), default=0)
    kept_event_id = models.CharField(_("kept event"), max_length=64, blank=True)
    other_event_id = models.CharField(_("other event"), max_length=64, blank=True)
    record_id = models.CharField(_("record"), max_length=64, blank=True)
    other_parcel = models.JSONField(_("other parcel"), default=dict)
    at = models.DateTimeField(_("when"))
    resolution = models.CharField(_("found to be"), max_length=16, choices=CloneResolution.choices, blank=True)
    resolved_by = models.CharField(_("by"), max_length=150, blank=True)

    objects = CloneAlarmQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name = _("clone alarm")
        verbose_name_plural = _("clone alarms")
        constraints = (
            models.UniqueConstraint(fields=["node", "epoch", "seq", "other_event_id"], name="clone_alarm_unique"),
        )

    def __str__(self) -> str:
        return f"{self.node}: {self.get_sign_display()}"


class RatingQuerySet(models.QuerySet["Rating"]):
    """Named choices of ratings."""

    def corrections(self) -> RatingQuerySet:
        """Ratings that say how the answer should have been."""
        return self.filter(is_deleted=False).exclude(correction="")


class Rating(models.Model):
    """The newest revision of one teacher's rating; rebuilt from parcels in any order with the same outcome."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="ratings", verbose_name=_("school PC"))
    record_id = models.CharField(_("record"), max_length=64)
    revision = models.PositiveIntegerField(_("revision"))
    is_deleted = models.BooleanField(_("deleted by the teacher"), default=False)
    question = models.TextField(_("question"), blank=True)
    answer = models.TextField(_("answer"), blank=True)
    stars = models.PositiveSmallIntegerField(_("stars"), null=True)
    correction = models.TextField(_("correction"), blank=True)
    reasons = models.JSONField(_("reasons"), default=list)
    subject = models.CharField(_("subject"), max_length=120, blank=True)
    grade = models.PositiveSmallIntegerField(_("grade"), default=0)
    release = models.CharField(_("release"), max_length=64, blank=True)
    teacher = models.CharField(_("teacher's pseudonym"), max_length=64, blank=True)
    rated_at = models.DateTimeField(_("rated"), null=True)
    received_at = models.DateTimeField(_("received"))

    objects = RatingQuerySet.as_manager()

    class Meta:
        ordering = ("-received_at", "-id")
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        constraints = (
            models.UniqueConstraint(fields=["node", "record_id"], name="rating_node_record_unique"),
            models.CheckConstraint(
                condition=Q(is_deleted=True, question="", answer="", correction="", stars=None)
                | Q(is_deleted=False, stars__gte=1, stars__lte=5),
                name="rating_deleted_has_no_words",
            ),
        )

    def __str__(self) -> str:
        return f"{self.stars or '–'}: {self.question[:60]}"
