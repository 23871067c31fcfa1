"""Counts and logs each request by the route that answered it; neither path nor query, which people write in."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from central.metrics.counters import REQUEST_SECONDS, REQUESTS
from central.request_trace import HEADER, trace_begin, trace_end

LOGGER = logging.getLogger(__name__)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestWatch:
    """The outermost middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, and say in count and log that it was answered."""
        begun = time.perf_counter()
        trace_begin(request.headers.get(HEADER, ""))
        try:
            answer = self._get_response(request)
            _tell(request, answer.status_code, seconds=time.perf_counter() - begun)
        finally:
            trace_end()
        return answer


def _tell(request: HttpRequest, status: int, *, seconds: float) -> None:
    # Anybody may invent a method, and each would be one more row for ever.
    method = request.method if request.method in METHODS else "other"
    route = route_of(request)
    REQUESTS.labels(method, route, status).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
    told = {"method": method, "route": route, "status": status, "duration_ms": round(1000 * seconds, 1)}
    LOGGER.info("%s %s %d", method, route, status, extra=told)


def route_of(request: HttpRequest) -> str:
    """Return the pattern that the request's address matched, or what stands for all that match none."""
    match = request.resolver_match
    if match is not None:
        return match.route or "/"
    return "static" if request.path.startswith(str(settings.STATIC_URL)) else "unmatched"
