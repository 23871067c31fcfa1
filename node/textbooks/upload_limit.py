"""How long a request may be that brings a textbook: longer than all others, and only from teachers and the head.

Asked before Django sees the request, because Django writes a whole body to the disk before it knows whose it is.
"""

from __future__ import annotations

import re
from importlib import import_module
from io import BytesIO
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.core.handlers.asgi import ASGIRequest
from django.db import close_old_connections

from node.accounts import is_teacher
from node.body_limit import BodyRule
from node.sentences import SENTENCES
from node.textbooks.errors import TextbookTooBig
from node.textbooks.shelf import MOST_FILE_BYTES

# What a form has beside its file.
_FORM_BYTES = 64 * 1024
_PATH = re.compile(r"/textbooks/(?:add|\d+/change)/")
TEXTBOOK_RULE = BodyRule(
    most_bytes=MOST_FILE_BYTES + _FORM_BYTES,
    sentence=SENTENCES[TextbookTooBig.code],
    linger_seconds=15.0,
)


async def textbook_rule(scope: dict[str, Any]) -> BodyRule | None:
    """Return the rule for a request that brings a textbook and may; None: it is like any other."""
    if scope.get("method") != "POST" or not _PATH.fullmatch(scope["path"]):
        return None
    return TEXTBOOK_RULE if await sync_to_async(_is_of_teacher)(scope) else None


def _is_of_teacher(scope: dict[str, Any]) -> bool:
    request = ASGIRequest(scope, BytesIO())
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    try:
        return is_teacher(get_user(request))
    finally:
        close_old_connections()
