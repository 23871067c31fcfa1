"""What is counted of ratings, so that no page has to count a million rows: weeks, their trends, and agreement."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class TrendOf(models.TextChoices):
    """By what ratings are counted."""

    ALL = "all", _("all ratings")
    SUBJECT = "subject", _("subject")
    GRADE = "grade", _("grade")
    REGION = "region", _("region")
    RELEASE = "release", _("release")


class RatingWeek(models.Model):
    """One week of ratings by the centre's clock: when it was counted, and whether something in it changed since."""

    starts_at = models.DateTimeField(_("begins"), unique=True)
    counted_at = models.DateTimeField(_("counted"), null=True)
    is_due = models.BooleanField(_("to be counted again"), default=False)

    class Meta:
        ordering = ("-starts_at",)
        verbose_name = _("week of ratings")
        verbose_name_plural = _("weeks of ratings")

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d}"


class RatingTrend(models.Model):
    """How a week's ratings of one subject, grade, region or release were: good of those that say good or bad."""

    week = models.ForeignKey(RatingWeek, on_delete=models.CASCADE, related_name="trends", verbose_name=_("week"))
    trend_of = models.CharField(_("counted by"), max_length=8, choices=TrendOf.choices)
    value = models.CharField(_("value"), max_length=120, blank=True)
    ratings = models.PositiveIntegerField(_("ratings"))
    good = models.PositiveIntegerField(_("good"))
    bad = models.PositiveIntegerField(_("bad"))
    schools = models.PositiveIntegerField(_("schools"))
    share = models.FloatField(_("share of good ones"))
    low = models.FloatField(_("at least"))
    high = models.FloatField(_("at most"))

    class Meta:
        verbose_name = _("trend of ratings")
        verbose_name_plural = _("trends of ratings")
        constraints = (
            models.UniqueConstraint(fields=["week", "trend_of", "value"], name="trend_once_a_week"),
            models.CheckConstraint(condition=Q(trend_of__in=TrendOf.values), name="trend_of_known"),
        )

    def __str__(self) -> str:
        return f"{self.week}: {self.value}"

    @classmethod
    def in_region(cls, region: str) -> Q:
        """Return which trends somebody bound to the region sees: its own; the others are the whole country's."""
        return Q(trend_of=TrendOf.REGION, value=region)


class SubjectAgreement(models.Model):
    """How far teachers of a subject agree about the same answers (Krippendorff's α), as it was last counted."""

    subject = models.CharField(_("subject"), max_length=120, blank=True, unique=True)
    alpha = models.FloatField(_("Krippendorff's α"), null=True)
    turns = models.PositiveIntegerField(_("answers rated by several teachers"))
    ratings = models.PositiveIntegerField(_("their ratings"))
    counted_at = models.DateTimeField(_("counted"))

    class Meta:
        ordering = ("subject",)
        verbose_name = _("agreement of teachers")
        verbose_name_plural = _("agreement of teachers")

    def __str__(self) -> str:
        return self.subject
