"""The web application for an ASGI server."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from central.environment import settings_expect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
settings_expect(settings.SETTINGS_MISTAKES)

application = get_asgi_application()
