"""Filters of ratings and parcels whose choices are known without asking a million rows for them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from central.feedback.models import ParcelStatus, Rating, RatingTrend, ReceivedParcel, TrendOf
from central.feedback.services import TEXT_UNSTORABLE
from central.feedback.shares import LEAST_GOOD, MOST_BAD
from federation.wire.canonical import MalformedDocument
from federation.wire.feedback import ParcelKind

LARGEST_GRADE = 11
STARS = range(1, 6)
KIND_WORDS = {ParcelKind.RATING.value: _("a rating"), ParcelKind.TOMBSTONE.value: _("a rating taken back")}
CODE_WORDS = {
    "": "–",
    MalformedDocument.code: _("cannot be read"),
    TEXT_UNSTORABLE: _("holds characters that cannot be stored"),
}


def code_words(code: str) -> str:
    """Return why a parcel is in quarantine, in the reader's language; an unforeseen code is named as it is."""
    return str(CODE_WORDS.get(code, code))


class CountedFilter(admin.SimpleListFilter):
    """Offers the values that the newest weeks' counts have met; an address may name any other."""

    trend_of: ClassVar[TrendOf]
    field: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        met = RatingTrend.objects.filter(trend_of=self.trend_of).order_by("value").values_list("value", flat=True)
        return [(value, value or "–") for value in met.distinct()]

    def has_output(self) -> bool:
        """Keep the filter in force also where nothing was counted yet."""
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        """Return the ratings of the choice."""
        return queryset if self.value() is None else queryset.filter(**{self.field: self.value()})


class SubjectFilter(CountedFilter):
    """Ratings by subject."""

    title = _("subject")
    parameter_name = "subject"
    trend_of = TrendOf.SUBJECT
    field = "subject"


class ReleaseFilter(CountedFilter):
    """Ratings by the release that gave the answer."""

    title = _("release")
    parameter_name = "release"
    trend_of = TrendOf.RELEASE
    field = "release"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices by the beginnings of their digests."""
        return [(value, value[:12] or "–") for value, _words in super().lookups(request, model_admin)]


class GradeFilter(admin.SimpleListFilter):
    """Ratings by grade; 0 is none."""

    title = _("grade")
    parameter_name = "grade"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return [(str(grade), str(grade or "–")) for grade in range(LARGEST_GRADE + 1)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        """Return the ratings of the choice."""
        value = self.value()
        return queryset.filter(grade=int(value)) if value and value.isdecimal() else queryset


class StarsFilter(admin.SimpleListFilter):
    """Ratings by their stars, or by whether they count as good or bad."""

    title = _("stars")
    parameter_name = "stars"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return [("good", _("good")), ("bad", _("bad")), *((str(stars), "★" * stars) for stars in STARS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        """Return the ratings of the choice."""
        value = self.value() or ""
        if value in ("good", "bad"):
            return queryset.filter(**({"stars__gte": LEAST_GOOD} if value == "good" else {"stars__lte": MOST_BAD}))
        return queryset.filter(stars=int(value)) if value.isdecimal() else queryset


class CorrectionFilter(admin.SimpleListFilter):
    """Ratings with a correction, or without."""

    title = _("correction")
    parameter_name = "correction"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the choices."""
        return [("yes", _("with a correction")), ("no", _("without"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Rating]) -> QuerySet[Rating]:
        """Return the ratings of the choice."""
        if self.value() == "yes":
            return queryset.exclude(correction="")
        return queryset.filter(correction="", is_deleted=False) if self.value() == "no" else queryset


class CodeFilter(admin.SimpleListFilter):
    """Parcels by why they are in quarantine."""

    title = _("why in quarantine")
    parameter_name = "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the codes of those in quarantine, which are few."""
        parked = ReceivedParcel.objects.filter(status=ParcelStatus.QUARANTINED).order_by("code")
        return [(code, code_words(code)) for code in parked.values_list("code", flat=True).distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReceivedParcel]) -> QuerySet[ReceivedParcel]:
        """Return the parcels of the choice."""
        value = self.value()
        return queryset.filter(status=ParcelStatus.QUARANTINED, code=value) if value else queryset


class KindFilter(admin.SimpleListFilter):
    """Parcels by what they hold."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - Django's
        """Name the kinds."""
        return list(KIND_WORDS.items())

    def queryset(self, request: HttpRequest, queryset: QuerySet[ReceivedParcel]) -> QuerySet[ReceivedParcel]:
        """Return the parcels of the choice."""
        value = self.value()
        return queryset.filter(kind=value) if value else queryset
