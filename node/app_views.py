"""The page as an app of its own: its manifest, the worker that keeps its shell, and the page for when the PC is away.

The worker keeps style, scripts and the page `offline`, and nothing else: no pupil's words stay on a shared telephone.
Browsers take a worker only from HTTPS or from the PC itself; elsewhere the page works as a page.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

SHELL = ("node/soro.css", "node/soro.svg", "node/soro.js")
_NAME_DIGITS = 12


@require_GET
def manifest(request: HttpRequest) -> HttpResponse:
    """Describe the app in the reader's language."""
    del request
    document = {
        "id": "/",
        "name": _("Soro"),
        "short_name": _("Soro"),
        "description": _("Ask and learn, on the school's own PC."),
        "lang": get_language(),
        "start_url": reverse("chat"),
        "scope": "/",
        "display": "standalone",
        "background_color": "#f5f8f6",
        "theme_color": "#0b5d4e",
        "icons": [
            {"src": static("node/soro.svg"), "sizes": "any", "type": "image/svg+xml"},
            {"src": static("node/soro-192.png"), "sizes": "192x192", "type": "image/png"},
            {"src": static("node/soro-512.png"), "sizes": "512x512", "type": "image/png"},
        ],
    }
    return JsonResponse(document, content_type="application/manifest+json")


@require_GET
@never_cache
def service_worker(request: HttpRequest) -> HttpResponse:
    """Give the worker, which differs wherever its shell does."""
    page = {
        "cache": f"soro-{_shell_sha256()[:_NAME_DIGITS]}",
        "offline": reverse("offline"),
        "shell": [static(name) for name in SHELL],
    }
    return render(request, "node/service_worker.js", page, content_type="text/javascript")


@require_GET
def offline(request: HttpRequest) -> HttpResponse:
    """Say that the school's PC does not answer; the worker shows it when that is so."""
    return render(request, "node/offline.html")


@cache
def _shell_sha256() -> str:
    # The files of a program that runs do not change.
    digest = hashlib.sha256()
    for name in SHELL:
        digest.update(Path(str(finders.find(name))).read_bytes())
    return digest.hexdigest()
