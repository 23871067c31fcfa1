"""The Content-Security-Policy of what a browser may lay out: pages have the settings', files may do nothing."""

from __future__ import annotations

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase

NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"


class ContentPolicy(CSPMiddleware):
    """django-csp, and for CSV, PDF and release files a policy under which a browser runs nothing of them."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return `response` with its policy; JSON has none."""
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("application/json"):
            # No browser lays it out (nosniff), and schools pay for each byte of an answer's head.
            return response
        if not kind.startswith("text/html"):
            response.headers.setdefault(HEADER, NOTHING)
        return super().process_response(request, response)
