"""Filters of school PCs: by when they were last heard of, and by whether something is wrong there."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from central.schools.models import Node

CONTACTS = ("day", "week", "month", "longer", "never")
"""Each PC is in exactly one of these; `recent` is the first two together."""


def contact_condition(contact: str, *, now: datetime) -> Q:
    """Return which PCs were last heard of within a day, then a week, then 30 days, longer ago, or never."""
    day, week, month = (now - timedelta(days=days) for days in (1, 7, 30))
    conditions = {
        "day": Q(last_contact_at__gte=day),
        "week": Q(last_contact_at__gte=week, last_contact_at__lt=day),
        "month": Q(last_contact_at__gte=month, last_contact_at__lt=week),
        "longer": Q(last_contact_at__lt=month),
        "never": Q(last_contact_at=None),
        "recent": Q(last_contact_at__gte=week),
    }
    return conditions[contact]


CONTACT_WORDS = {
    "recent": _("within a week"),
    "day": _("within a day"),
    "week": _("1 to 7 days ago"),
    "month": _("7 to 30 days ago"),
    "longer": _("longer ago"),
    "never": _("never yet"),
}


class ContactFilter(admin.SimpleListFilter):
    """PCs by their last contact."""

    title = _("last contact")
    parameter_name = "contact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return list(CONTACT_WORDS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> QuerySet[Node]:
        """Return the PCs of the choice."""
        value = self.value()
        return queryset.filter(contact_condition(value, now=timezone.now())) if value in CONTACT_WORDS else queryset


class ProblemFilter(admin.SimpleListFilter):
    """PCs that say that something is wrong there, or do not."""

    title = _("problems there")
    parameter_name = "problem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return [("yes", _("some")), ("no", _("none"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Node]) -> QuerySet[Node]:
        """Return the PCs of the choice."""
        if self.value() == "yes":
            return queryset.exclude(problems=[])
        return queryset.filter(problems=[]) if self.value() == "no" else queryset
