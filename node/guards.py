"""Who comes through a door: teachers, the head, or everybody, though guests may be shut out elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from node.accounts import Role, has_role

View = Callable[..., HttpResponseBase]
AnyView = TypeVar("AnyView", bound=Callable[..., Any])


def _required(*roles: Role) -> Callable[[View], View]:
    def guard(view: View) -> View:
        @login_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401
            if not has_role(request.user, *roles):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return guard


teacher_required = _required(Role.TEACHER, Role.HEAD)
"""Let only teachers and the head through; others sign in or are told that they may not."""

head_required = _required(Role.HEAD)
"""Let only the head through; others sign in or are told that they may not."""


def open_to_guests(view: AnyView) -> AnyView:
    """Mark a view that guests reach even where the head lets none ask: signing in, languages, doors with keys."""
    view.is_open_to_guests = True  # type: ignore[attr-defined]
    return view


def person_of(request: HttpRequest) -> User:
    """Return the signed-in person; only behind one of the guards."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
