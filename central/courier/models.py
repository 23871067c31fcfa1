"""Each writing and reading of a stick, and the requests to enrol that were refused and await their answer."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class TripKind(models.TextChoices):
    """Which way a stick goes."""

    TO_SCHOOLS = "to_schools", _("to schools")
    FROM_SCHOOLS = "from_schools", _("from schools")


class Trip(models.Model):
    """One writing or one reading of a stick, as it ended."""

    REGION: ClassVar[str] = "region"

    kind = models.CharField(_("way"), max_length=16, choices=TripKind.choices)
    place = models.CharField(_("folder or file"), max_length=300)
    actor = models.CharField(_("who"), max_length=150)
    at = models.DateTimeField(_("when"), db_index=True)
    region = models.CharField(
        _("region of whoever did it"), max_length=120, blank=True, help_text=_("Empty for the whole country.")
    )
    schools = models.PositiveIntegerField(_("schools"), default=0)
    files = models.PositiveIntegerField(_("letters"), default=0)
    bytes_written = models.PositiveBigIntegerField(_("of releases, bytes"), default=0)
    problems = models.JSONField(_("not taken"), default=list, blank=True)
    """[{"sender", "school", "kind", "code"}]"""
    code = models.CharField(_("why it ended early"), max_length=64, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name = _("trip of a stick")
        verbose_name_plural = _("trips of sticks")
        constraints = (models.CheckConstraint(condition=Q(kind__in=TripKind.values), name="trip_kind_known"),)

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.at:%Y-%m-%d %H:%M}"


class RefusedRequest(models.Model):
    """A request to enrol that came by stick and was refused; its answer goes on the sticks of the next weeks."""

    key_id = models.CharField(_("key"), max_length=64, unique=True)
    public_key = models.TextField(_("public key"))
    code = models.CharField(_("code"), max_length=64)
    hostname = models.CharField(_("computer name"), max_length=255, blank=True)
    received_at = models.DateTimeField(_("received"), db_index=True)

    class Meta:
        ordering = ("-received_at",)
        verbose_name = _("refused request")
        verbose_name_plural = _("refused requests")

    def __str__(self) -> str:
        return f"{self.hostname or self.key_id[:12]}: {self.code}"
