"""The admin's site: unfold's, with the pages of the second factor before all others."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from unfold.sites import UnfoldAdminSite


class CentreAdminSite(UnfoldAdminSite):
    """Shows no page before the person has given all that is asked to sign in."""

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Return the page behind the second factor."""
        inner: Callable[..., HttpResponseBase] = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *arguments: Any, **named: Any) -> HttpResponseBase:  # noqa: ANN401
            place = self._place_due(request)
            if place is None:
                return inner(request, *arguments, **named)
            return redirect(f"{place}?{urlencode({REDIRECT_FIELD_NAME: request.get_full_path()})}")

        return update_wrapper(guarded, inner)

    def extra_urls(self) -> list[URLPattern]:
        """Return the addresses of the second factor's pages."""
        from central.signin import views  # noqa: PLC0415 - models exist only once all apps are ready

        return [
            path("second-factor/", self._person_only(views.second_factor), name="second_factor"),
            path("second-factor/enrol/", self._person_only(views.second_factor_enrol), name="second_factor_enrol"),
        ]

    def _place_due(self, request: HttpRequest) -> str | None:
        from central.signin.views import place_due  # noqa: PLC0415 - as above

        is_leaving = request.path == reverse(f"{self.name}:logout")
        return place_due(request) if self.has_permission(request) and not is_leaving else None

    def _person_only(self, view: Callable[..., Any]) -> Callable[..., Any]:
        # The site's own guard: signed in, active, of the staff, and with the form's token; but not the second factor.
        inner: Callable[..., Any] = super().admin_view(view)
        return inner
