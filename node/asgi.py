"""The page as an ASGI application: answers stream to many pupils at once without a thread for each."""

from __future__ import annotations

import os
import warnings

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "node.settings")
# WhiteNoise hands out open files as plain iterators; they are a few kilobytes each, so reading one whole is right.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

application = get_asgi_application()
