"""What every page shares: the words at the top, and a clear sentence instead of a page when something is missing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from node.accounts import Role, has_role, is_teacher
from node.https.services import is_switched_on


def page_context(request: HttpRequest) -> dict[str, Any]:
    """Return what each template may use beside its own values."""
    # A request for another host is refused before anybody looks who asks.
    user = getattr(request, "user", None) or AnonymousUser()
    return {
        "languages": settings.LANGUAGES,
        "may_rate": is_teacher(user),
        "is_head": has_role(user, Role.HEAD),
        "has_app": is_switched_on(settings.NODE_ROOT),
    }
