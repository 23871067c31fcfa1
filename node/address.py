"""Which device a request comes from, as far as that can be believed."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def device_address(request: HttpRequest) -> str:
    """Return the address of the device on the school's network; a proxy's word counts only where the settings say so.

    Each of the `NODE_PROXIES` adds at the end of X-Forwarded-For whom it was asked by; what stands before that is
    anybody's own invention.
    """
    named = [word.strip() for word in request.headers.get("X-Forwarded-For", "").split(",") if word.strip()]
    proxies = settings.NODE_PROXIES
    if 0 < proxies <= len(named):
        return named[-proxies]
    return str(request.META.get("REMOTE_ADDR", ""))
