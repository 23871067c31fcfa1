"""What teachers said about answers: one row a revision, already masked, exactly as it leaves the school."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from node.chat.models import Answer


class Subject(models.TextChoices):
    """School subjects; the empty one is none."""

    NONE = "", _("No subject")
    MATHEMATICS = "mathematics", _("Mathematics")
    PHYSICS = "physics", _("Physics")
    CHEMISTRY = "chemistry", _("Chemistry")
    BIOLOGY = "biology", _("Biology")
    GEOGRAPHY = "geography", _("Geography")
    HISTORY = "history", _("History")
    TAJIK_LANGUAGE = "tajik-language", _("Tajik language")
    TAJIK_LITERATURE = "tajik-literature", _("Tajik literature")
    RUSSIAN = "russian", _("Russian language")
    ENGLISH = "english", _("English language")
    INFORMATICS = "informatics", _("Computer science")
    OTHER = "other", _("Another subject")


class Reason(models.TextChoices):
    """Why an answer is not good; the wire's words."""

    WRONG = "wrong", _("The facts are wrong")
    INCOMPLETE = "incomplete", _("Something is missing")
    UNCLEAR = "unclear", _("Hard to understand")
    LANGUAGE = "language", _("Mistakes in the language")
    OFF_TOPIC = "off-topic", _("It does not answer the question")
    UNSUITABLE = "unsuitable", _("Not suitable for pupils")


class RatingQuerySet(models.QuerySet["Rating"]):
    """Named selections of ratings."""

    def active(self) -> RatingQuerySet:
        """The newest revision of each rating that was not withdrawn."""
        return self.filter(is_active=True)

    def corrections(self) -> RatingQuerySet:
        """Active ratings that carry a better answer, oldest first."""
        return self.active().exclude(correction="").order_by("rated_at")


class Rating(models.Model):
    """One revision of one teacher's rating of one answer."""

    record_id = models.CharField(max_length=32, db_index=True)
    revision = models.PositiveIntegerField()
    is_active = models.BooleanField(default=True)
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
