"""What teachers said about answers: one row a revision, already masked, exactly as it leaves the school."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from node.chat.models import Answer
from node.subjects import Subject


class Reason(models.TextChoices):
    """Why an answer is not good; the wire's words."""

    WRONG = "wrong", _("The facts are wrong")
    INCOMPLETE = "incomplete", _("Something is missing")
    UNCLEAR = "unclear", _("Hard to understand")
    TOO_HARD = "too-hard", _("Too hard for the grade")
    LANGUAGE = "language", _("Wrong language, or mistakes in it")
    OFF_TOPIC = "off-topic", _("It does not answer the question")
    UNSUITABLE = "unsuitable", _("Unsafe or not suitable for pupils")
    OTHER = "other", _("Something else")


class Sharing(models.TextChoices):
    """Where a rating's words are; HELD → SENT."""

    HELD = "held"
    """At the school alone."""
    SENT = "sent"
    """In the outbox, or at the centre."""


class RatingQuerySet(models.QuerySet["Rating"]):
    """Named selections of ratings."""

    def active(self) -> RatingQuerySet:
        """The newest revision of each rating that was not withdrawn."""
        return self.filter(is_active=True)

    def held(self) -> RatingQuerySet:
        """Active ratings whose words have not left the school, oldest first."""
        return self.active().filter(sharing=Sharing.HELD).order_by("rated_at", "pk")

    def corrections(self) -> RatingQuerySet:
        """Active ratings that carry a better answer, oldest first."""
        return self.active().exclude(correction="").order_by("rated_at")


class Rating(models.Model):
    """One revision of one teacher's rating of one answer."""

    record_id = models.CharField(max_length=32, db_index=True)
    revision = models.PositiveIntegerField()
    is_active = models.BooleanField(default=True)
    sharing = models.CharField(max_length=8, choices=Sharing.choices, default=Sharing.SENT)
    masked_words = models.JSONField(default=list)
    """That the teacher had masked; they stay at the school, for the next edit."""
    answer = models.ForeignKey(Answer, on_delete=models.PROTECT, related_name="ratings")
    teacher = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    question = models.TextField()
    answer_text = models.TextField()
    correction = models.TextField(blank=True)
    stars = models.PositiveSmallIntegerField()
    reasons = models.JSONField(default=list)
    subject = models.CharField(max_length=32, choices=Subject.choices, blank=True)
    grade = models.PositiveSmallIntegerField(default=0)
    release = models.CharField(max_length=64)
    rated_at = models.DateTimeField()

    objects = RatingQuerySet.as_manager()

    class Meta:
        """What the database itself refuses, and how it finds rows fast."""

        constraints = [
            models.UniqueConstraint(fields=["record_id", "revision"], name="ratings_record_revision"),
            models.UniqueConstraint(
                fields=["answer", "teacher"], condition=models.Q(is_active=True), name="ratings_one_active"
            ),
            models.CheckConstraint(condition=models.Q(stars__range=(1, 5)), name="ratings_stars_range"),
            models.CheckConstraint(condition=models.Q(grade__range=(0, 11)), name="ratings_grade_range"),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"rating {self.record_id} revision {self.revision}"


class Choice(models.TextChoices):
    """Which of two answers is better; the empty one is none yet."""

    NONE = "", _("Not chosen yet")
    LEFT = "left", _("The left one")
    RIGHT = "right", _("The right one")
    SAME = "same", _("Equally good")
    NEITHER = "neither", _("Both bad")


class Comparison(models.Model):
    """Two answers to a teacher's question, judged before it is told who gave which; it never leaves the school."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    teacher = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    question = models.TextField()
    left_text = models.TextField(blank=True)
    right_text = models.TextField(blank=True)
    left_version = models.PositiveIntegerField(default=0)
    right_version = models.PositiveIntegerField(default=0)
    is_written = models.BooleanField(default=False)
    choice = models.CharField(max_length=8, choices=Choice.choices, blank=True)
    asked_at = models.DateTimeField()

    class Meta:
        """What the database itself refuses."""

        constraints = [
            models.CheckConstraint(
                condition=models.Q(choice="") | models.Q(is_written=True), name="ratings_comparison_chosen_is_written"
            ),
        ]

    def __str__(self) -> str:
        """Name the row for logs, without anybody's words."""
        return f"comparison {self.pk}"
