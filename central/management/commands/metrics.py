"""`central metrics`: serves figures for Prometheus at SORO_CENTRAL_METRICS."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from central.command_line import CentreCommand
from central.disk import centre_disk


class Command(CentreCommand):
    """Serve the figures until told to end."""

    help = __doc__ or ""

    def run(self, options: dict[str, Any]) -> None:  # noqa: ARG002 - Django's signature
        """Serve them at the address of the settings."""
        from central.metrics.serving import figures_serve  # noqa: PLC0415 - no other command needs prometheus-client

        host, _colon, port = settings.METRICS_ADDRESS.rpartition(":")
        if not port:
            raise CommandError("Set SORO_CENTRAL_METRICS to the address at which figures are served, 127.0.0.1:9464.")
        figures_serve(host=host, port=int(port), disk=centre_disk(), clock=time.monotonic).join()
