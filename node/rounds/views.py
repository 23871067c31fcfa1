"""The teacher's door to «my corrections»."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from node.guards import person_of, teacher_required
from node.rounds.progress import corrections_progress


@require_GET
@teacher_required
def corrections(request: HttpRequest) -> HttpResponse:
    """Show this teacher's corrections and how far each is."""
    rows = corrections_progress(teacher_id=person_of(request).pk)
    return render(request, "node/corrections.html", {"rows": rows})
