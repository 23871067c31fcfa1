"""The doors for nodes: a session's token opens them, and neither a node nor an address may knock too often.

The limits stop a program that has gone wrong; many schools may share one public address. Who is turned away hears when
to come back. Each web process counts for itself (decision 0083): where there are two, a node may knock twice as often.
"""

from __future__ import annotations

from django.core.cache import caches
from rest_framework.request import Request
from rest_framework.throttling import ScopedRateThrottle, SimpleRateThrottle
from rest_framework.views import APIView

from central.http import IsNode, NodeAuthentication


class AddressThrottle(SimpleRateThrottle):
    """Counts the requests of one network address, whoever they say they are."""

    scope = "addresses"
    cache = caches["knocks"]

    def get_cache_key(self, request: Request, view: APIView) -> str:  # noqa: ARG002 - DRF sets the signature
        """Return the counter's name."""
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class NodeThrottle(ScopedRateThrottle):
    """Counts the requests of one node to one door."""

    cache = caches["knocks"]


class NodeView(APIView):
    """A door for nodes; a subclass names, as `throttle_scope`, how often one node may come."""

    authentication_classes = (NodeAuthentication,)
    permission_classes = (IsNode,)
    throttle_classes = (NodeThrottle,)

    def perform_authentication(self, request: Request) -> None:
        """Turn away an address that asks too much, before its token costs a look into the database."""
        throttle = AddressThrottle()
        if not throttle.allow_request(request, self):
            self.throttled(request, throttle.wait() or 0.0)
        super().perform_authentication(request)
