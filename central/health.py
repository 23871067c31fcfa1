"""The doors for whoever watches the centre: is the process alive, and can it do its work."""

from __future__ import annotations

from django.core.cache import caches
from django.utils import timezone
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from central.disk import centre_disk
from central.readiness import OK, readiness_read

_KEPT_SECONDS = 2
"""Whoever asks without end must not keep the database and the broker busy."""


class HealthView(APIView):
    """GET /healthz."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Answer that this process answers; what it stands on is /readyz' business."""
        return Response({"alive": OK})


class ReadinessView(APIView):
    """GET /readyz."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """Answer 200 when all is well, else 503; either names each thing and the code of what is wrong with it."""
        kept = caches["knocks"]
        found = kept.get("readiness")
        if found is None:
            found = readiness_read(disk=centre_disk(), now=timezone.now())
            kept.set("readiness", found, _KEPT_SECONDS)
        is_ready = all(code == OK for code in found.values())
        return Response(found, status=200 if is_ready else 503)
