"""The admin's lists, as the dashboard counts them: the rows that this person sees there, and the address of each list.

Whatever the page of a model hides from somebody is neither counted nor linked, so a figure is always as long as its
list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from central.releases.models import Release

ModelT = TypeVar("ModelT", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number in words, and the address of the list that it counts."""

    words: str
    number: int
    place: str


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of one person."""

    request: HttpRequest

    def is_open(self, model: type[Model]) -> bool:
        """Tell whether the person may look at the list of `model`."""
        return bool(admin.site.get_model_admin(model).has_view_permission(self.request))

    def rows(self, model: type[ModelT]) -> QuerySet[ModelT]:
        """Return all rows that the person sees there, in no order; none where the list is not open."""
        if not self.is_open(model):
            return model._default_manager.none()  # noqa: SLF001 - Django documents it
        rows: QuerySet[Any] = admin.site.get_model_admin(model).get_queryset(self.request)
        return rows.order_by()


def place_of(model: type[Model], **lookups: object) -> str:
    """Return the address of the list of `model`, narrowed by `lookups`."""
    names = model._meta  # noqa: SLF001 - Django documents it
    address = reverse(f"admin:{names.app_label}_{names.model_name}_changelist")
    return f"{address}?{urlencode(lookups)}" if lookups else address


def release_titles(digests: Iterable[str]) -> dict[str, str]:
    """Return the version and title of each release that is known, by its digest."""
    known = Release.objects.filter(digest__in=[digest for digest in digests if digest])
    return {digest: f"{version}: {title}" for digest, version, title in known.values_list("digest", "version", "title")}
