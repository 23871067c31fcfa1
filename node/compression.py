"""Text goes to telephones compressed: a long conversation is a tenth of its bytes, and the style is there sooner.

An answer that is being written goes as it comes: a word must not wait for others to be packed with.
"""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

_TEXTS = ("text/", "application/json", "application/manifest+json", "image/svg+xml")
_EVENTS = "text/event-stream"


class CompressionMiddleware(GZipMiddleware):
    """Compresses whole texts for whoever takes gzip."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Return `response`, compressed where that helps its reader."""
        kind = response.headers.get("Content-Type", "")
        # A part of a file is of the file as it lies, so it stays as it is.
        if response.status_code == HTTPStatus.PARTIAL_CONTENT or not kind.startswith(_TEXTS) or _EVENTS in kind:
            return response
        return super().process_response(request, response)
