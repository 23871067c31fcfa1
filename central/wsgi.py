"""The web application for a WSGI server."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from central.environment import settings_expect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
settings_expect(settings.SETTINGS_MISTAKES)

application = get_wsgi_application()
