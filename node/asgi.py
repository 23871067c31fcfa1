"""The page as an ASGI application: answers stream to many pupils at once without a thread for each."""

from __future__ import annotations

import os
import warnings

from django.core.asgi import get_asgi_application

from node.body_limit import BodyLimit
from node.https.cookies import SecureCookies

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "node.settings")
# WhiteNoise hands out open files as plain iterators; they are a few kilobytes each, so reading one whole is right.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

_django = get_asgi_application()
# Only once Django stands can anything be imported that knows accounts.
from node.textbooks.upload_limit import textbook_rule  # noqa: E402

application = SecureCookies(BodyLimit(_django, rule_of=textbook_rule))
