"""Parcels as received, where each node's outbox stands, alarms about copied nodes, and the ratings in it all."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from central.feedback.models_counts import RatingTrend, RatingWeek, SubjectAgreement, TrendOf
from central.schools.models import Node
from central.schools.transitions import HasStatus, Moves, moves

__all__ = [
    "CloneAlarm",
    "OutboxCursor",
    "Rating",
    "RatingTrend",
    "RatingWeek",
    "ReceivedParcel",
    "SubjectAgreement",
    "TrendOf",
]


class ParcelStatus(models.TextChoices):
    """What the centre made of a parcel."""

    ACCEPTED = "accepted", _("accepted")
    QUARANTINED = "quarantined", _("quarantined")


class ReceivedParcel(models.Model):
    """One parcel, never edited; only a tombstone, an erasure on request and a masking take its words out."""

    REGION: ClassVar[str] = "node__school__region"

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
        indexes = (
            models.Index(fields=["node", "record_id"], name="parcel_node_record"),
            models.Index(fields=["id"], condition=Q(status="quarantined"), name="parcel_quarantined"),
        )
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

    REGION: ClassVar[str] = "node__school__region"

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

    REGION: ClassVar[str] = "node__school__region"

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


class ReviewStatus(models.TextChoices):
    """What a reviewer has made of a rating."""

    WAITING = "waiting", _("waits for review")
    ACCEPTED = "accepted", _("accepted")
    REJECTED = "rejected", _("rejected")


class RatingQuerySet(models.QuerySet["Rating"]):
    """Named choices of ratings."""

    def with_words(self) -> RatingQuerySet:
        """Ratings whose words were not erased."""
        return self.filter(is_deleted=False)

    def corrections(self) -> RatingQuerySet:
        """Ratings that say how the answer should have been; what a reviewer has rejected is none."""
        return self.with_words().exclude(correction="").exclude(status=ReviewStatus.REJECTED)

    def accepted(self) -> RatingQuerySet:
        """Ratings that a reviewer has accepted: the only ones that become data sets."""
        return self.with_words().filter(status=ReviewStatus.ACCEPTED)

    def waiting(self) -> RatingQuerySet:
        """Ratings that wait for a reviewer."""
        return self.with_words().filter(status=ReviewStatus.WAITING)


class Rating(HasStatus):
    """The newest revision of one teacher's rating; rebuilt from parcels in any order with the same outcome.

    Its status is the review's. A new revision waits for review again; one whose words are erased has nothing to review.
    """

    MOVES: ClassVar[Moves] = moves(
        {
            ReviewStatus.WAITING: (ReviewStatus.ACCEPTED, ReviewStatus.REJECTED),
            ReviewStatus.ACCEPTED: (ReviewStatus.WAITING, ReviewStatus.REJECTED),
            ReviewStatus.REJECTED: (ReviewStatus.WAITING, ReviewStatus.ACCEPTED),
        }
    )

    REGION: ClassVar[str] = "node__school__region"
    IS_REVIEWED: ClassVar[bool] = True

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="ratings", verbose_name=_("school PC"))
    record_id = models.CharField(_("record"), max_length=64)
    revision = models.PositiveIntegerField(_("revision"))
    is_deleted = models.BooleanField(_("words erased"), default=False)
    status = models.CharField(_("review"), max_length=16, choices=ReviewStatus.choices, default=ReviewStatus.WAITING)
    question = models.TextField(_("question"), blank=True)
    answer = models.TextField(_("answer"), blank=True)
    stars = models.PositiveSmallIntegerField(_("stars"), null=True)
    correction = models.TextField(_("correction"), blank=True)
    masked_revision = models.PositiveIntegerField(_("masked up to revision"), default=0)
    edited_correction = models.TextField(_("correction as the reviewer put it"), blank=True)
    reasons = models.JSONField(_("reasons"), default=list)
    subject = models.CharField(_("subject"), max_length=120, blank=True)
    grade = models.PositiveSmallIntegerField(_("grade"), default=0)
    release = models.CharField(_("release"), max_length=64, blank=True)
    teacher = models.CharField(_("teacher's pseudonym"), max_length=64, blank=True)
    rated_at = models.DateTimeField(_("rated"), null=True)
    received_at = models.DateTimeField(_("received"))
    # Equal where teachers rated the same answer to the same question (`feedback.agreement`); empty once erased.
    turn_key = models.CharField(max_length=32, blank=True, editable=False)
    # Which of the node's epochs said so: they are numbered in the order in which they began here.
    cursor = models.ForeignKey(OutboxCursor, on_delete=models.PROTECT, null=True, editable=False, related_name="+")

    objects = RatingQuerySet.as_manager()

    class Meta:
        ordering = ("-received_at", "-id")
        verbose_name = _("rating")
        verbose_name_plural = _("ratings")
        indexes = (
            models.Index(fields=["-received_at", "-id"], name="rating_newest_first"),
            models.Index(
                fields=["id"],
                condition=Q(status="waiting", is_deleted=False) & ~Q(correction=""),
                name="rating_correction_waits",
            ),
            models.Index(fields=["id"], condition=Q(status="waiting", is_deleted=False), name="rating_waits"),
            # The list counts its rows; without these that would read every question and answer.
            models.Index(fields=["status", "-received_at", "-id"], name="rating_status_newest"),
            models.Index(fields=["stars"], name="rating_stars"),
            models.Index(fields=["subject"], name="rating_subject"),
            models.Index(fields=["grade"], name="rating_grade"),
            models.Index(fields=["release"], name="rating_release"),
            models.Index(fields=["turn_key"], condition=~Q(turn_key=""), name="rating_turn"),
        )
        constraints = (
            models.UniqueConstraint(fields=["node", "record_id"], name="rating_node_record_unique"),
            models.CheckConstraint(
                condition=Q(
                    is_deleted=True,
                    status="waiting",
                    question="",
                    answer="",
                    correction="",
                    edited_correction="",
                    turn_key="",
                    stars=None,
                )
                | Q(is_deleted=False, stars__gte=1, stars__lte=5),
                name="rating_deleted_has_no_words",
            ),
            models.CheckConstraint(condition=Q(status__in=ReviewStatus.values), name="rating_status_known"),
            models.CheckConstraint(
                condition=Q(edited_correction="") | Q(status="accepted"), name="rating_edited_is_accepted"
            ),
        )

    def __str__(self) -> str:
        return f"{self.stars or '–'}: {self.question[:60]}"

    @property
    def wording(self) -> str:
        """How the answer should have been: as the reviewer put it, or else as the teacher did."""
        return self.edited_correction or self.correction
