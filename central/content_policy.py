"""The Content-Security-Policy of every answer: of pages what the settings say, of everything else nothing at all."""

from __future__ import annotations

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"


class ContentPolicy(CSPMiddleware):
    """django-csp, and for JSON, CSV, PDF and release files a policy under which a browser runs nothing of them."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return `response` with its policy."""
        if not response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault(HEADER, NOTHING)
        return super().process_response(request, response)
