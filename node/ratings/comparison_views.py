"""The page of blind comparisons: ask, have both answers written, choose, and only then see whose they are."""

from __future__ import annotations

import asyncio
import secrets
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from federation.errors import FederationError
from node.accounts import is_teacher
from node.chat.engine_client import engine_stream
from node.chat.engine_events import EngineEvent, EngineRequest, EngineUnavailable
from node.chat.errors import QuestionRefused
from node.guards import person_of, teacher_required
from node.ratings.comparing import (
    ComparisonRefused,
    comparison_begin,
    comparison_choose,
    comparison_write,
    engine_requests,
    tallies_read,
)
from node.ratings.models import Comparison
from node.root import engine_socket_path
from node.sentences import error_sentence


@require_http_methods(["GET", "POST"])
@teacher_required
def compare(request: HttpRequest) -> HttpResponse:
    """Show what the school has chosen, or take a question."""
    page: dict[str, object] = {"tallies": tallies_read()}
    if request.method == "POST":
        try:
            made = comparison_begin(
                teacher=person_of(request), question=request.POST.get("question", ""), now=timezone.now()
            )
            return redirect("comparison", made.pk)
        except QuestionRefused as error:
            page["problem"] = error_sentence(error)
    return render(request, "node/compare.html", page)


@require_GET
@teacher_required
def comparison(request: HttpRequest, comparison_id: UUID) -> HttpResponse:
    """Show the answers, and whose they are once the teacher has chosen."""
    return render(request, "node/comparison.html", {"comparison": _own(request, comparison_id)})


@require_POST
async def write(request: HttpRequest, comparison_id: UUID) -> HttpResponse:
    """Have both answers written, side by side in the engine's rows."""
    own = await sync_to_async(_own)(request, comparison_id)
    page: dict[str, object] = {"comparison": own}
    if not own.is_written:
        asked = await sync_to_async(engine_requests)(comparison=own, root=settings.NODE_ROOT, draw=secrets.randbelow)
        try:
            left, right = await _answers(asked)
            await sync_to_async(comparison_write)(comparison=own, left=left, right=right)
        except FederationError as error:
            page["problem"] = error_sentence(error)
    template = "node/comparison_answers.html" if getattr(request, "htmx", False) else "node/comparison.html"
    return await sync_to_async(render)(request, template, page)


@require_POST
@teacher_required
def choose(request: HttpRequest, comparison_id: UUID) -> HttpResponse:
    """Keep the choice; a second one changes nothing."""
    try:
        comparison_choose(comparison=_own(request, comparison_id), choice=request.POST.get("choice", ""))
    except ComparisonRefused as error:
        return render(
            request,
            "node/comparison.html",
            {"comparison": _own(request, comparison_id), "problem": error_sentence(error)},
            status=409,
        )
    return redirect("comparison", comparison_id)


def _own(request: HttpRequest, comparison_id: UUID) -> Comparison:
    if not is_teacher(request.user):
        raise PermissionDenied
    return get_object_or_404(Comparison, pk=comparison_id, teacher=person_of(request))


async def _answers(requests: list[EngineRequest]) -> list[EngineEvent]:
    tasks = [asyncio.ensure_future(_answer(each)) for each in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        # Where one failed, the other need not keep a row of the engine busy.
        for task in tasks:
            task.cancel()


async def _answer(request: EngineRequest) -> EngineEvent:
    last: EngineEvent | None = None
    async for event in engine_stream(socket_path=engine_socket_path(settings.NODE_ROOT), request=request):
        last = event
    if last is None:
        raise EngineUnavailable(reason="connection_closed")
    return last
