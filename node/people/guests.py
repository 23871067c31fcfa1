"""Shut guests out where the head lets none ask: from every view that is not marked as open to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin

from node.people.services import rules_read


class GuestsMiddleware(MiddlewareMixin):
    """A view is closed to guests unless `open_to_guests` says otherwise, so that a new one cannot be forgotten."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Send a guest to the page for signing in, or let the request pass."""
        del args, kwargs
        if getattr(view, "is_open_to_guests", False) or request.user.is_authenticated or rules_read().allows_guests:
            return None
        return redirect_to_login(request.get_full_path())
