"""The page «Diagnosis»: the head makes a bundle for whoever helps, to download or on a stick."""

from __future__ import annotations

import os

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.diagnosis.bundle import bundle_make, bundle_name, bundle_write
from node.guards import head_required
from node.media import media_here
from node.sentences import error_sentence

HERE = "here"
"""The place of a bundle that the browser downloads."""


@require_GET
@head_required
@never_cache
def diagnosis(request: HttpRequest) -> HttpResponse:
    """Say what a bundle holds, and where it can go."""
    return _page(request)


@require_POST
@head_required
@never_cache
def make(request: HttpRequest) -> HttpResponse:
    """Make a bundle now, and send it or leave it on one of the sticks that are there."""
    root, now = settings.NODE_ROOT, timezone.now()
    places = {str(medium.place): medium.place for medium in media_here()}
    place = request.POST.get("place", "")
    if place != HERE and place not in places:
        raise Http404
    name, content = bundle_name(root=root, now=now), bundle_make(root=root, now=now, environ=os.environ)
    if place == HERE:
        response = HttpResponse(content, content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response
    try:
        bundle_write(content=content, target=places[place] / name)
    except FederationError as error:
        return _page(request, problem=error_sentence(error))
    return _page(request, written=name)


def _page(request: HttpRequest, **told: str) -> HttpResponse:
    return render(request, "node/diagnosis.html", {"media": media_here(), "here": HERE} | told)
