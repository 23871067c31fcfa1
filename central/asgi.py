"""The web application for an ASGI server."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from central.disk import centre_disk
from central.environment import settings_expect
from central.metrics.store import store_open

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
settings_expect(settings.SETTINGS_MISTAKES)
if settings.METRICS_ADDRESS:
    store_open(root=centre_disk().metrics, part="web")

application = get_asgi_application()
