"""Doors that belong to no app: the status page, and the pages for what is missing or not allowed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from node.accounts import Role, has_role, is_teacher
from node.rounds.learning_status import learning_status
from node.rounds.sentences import learning_sentence
from node.status import status_read
from node.status_sentences import newer_sentence, program_sentence, step_sentence


@require_GET
@login_required
def status(request: HttpRequest) -> HttpResponse:
    """Show teachers and the head how the node is."""
    if not is_teacher(request.user):
        raise PermissionDenied
    read = status_read(root=settings.NODE_ROOT, now=timezone.now())
    page = {
        "status": read,
        "step": step_sentence(read),
        "newer": newer_sentence(read.newer),
        "given_up": program_sentence(read.program) if read.program else "",
        "is_head": has_role(request.user, Role.HEAD),
        "learning": learning_sentence(learning_status(root=settings.NODE_ROOT, now=timezone.now())),
    }
    return render(request, "node/status.html", page)


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is no such page."""
    del exception
    return _said(request, "node/missing.html", status=404)


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    """Say that this page is for teachers, or that the form was too old to be taken."""
    del exception
    return _said(request, "node/forbidden.html", {"is_stale_form": bool(reason)}, status=403)


def unreadable(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that what was sent is too much, or not what a page of ours sends."""
    del exception
    return _said(request, "node/unreadable.html", status=400)


def _said(request: HttpRequest, template: str, page: dict[str, object] | None = None, *, status: int) -> HttpResponse:
    """Return the whole page, or what it says in a line where a script will show it in the page that is there."""
    frame = "node/part.html" if getattr(request, "htmx", False) else "node/base.html"
    return render(request, template, {"frame": frame} | (page or {}), status=status)
