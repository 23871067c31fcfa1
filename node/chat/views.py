"""The chat page's doors: show a conversation, ask, ask anew, choose the lesson."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.chat.doors import asker_of, is_part, own_answer, own_conversations, refused, uuid_of
from node.chat.errors import ConversationMissing
from node.chat.lesson import lesson_keep, lesson_of, lesson_read
from node.chat.models import Conversation, Turn
from node.chat.pitch import LAST_GRADE
from node.chat.services import Where, question_ask, question_repeat
from node.chat.shown import conversation_show
from node.installed.state import slots_read
from node.subjects import Subject

RECENT_CONVERSATIONS = 12
# Always in Tajik, whatever language the page is in: the model speaks Tajik.
EXAMPLES = (
    "Пойтахти Тоҷикистон кадом шаҳр аст?",
    "Фотосинтез чист? Ба хонандаи синфи 6 фаҳмонед.",
    "Муодилаи квадратиро чӣ тавр ҳал мекунанд?",
)
# What a Russian keyboard lacks.
LETTERS = "ғӣқӯҳҷ"


@require_GET
def chat(request: HttpRequest, conversation_id: UUID | None = None) -> HttpResponse:
    """Show one conversation, or an empty one."""
    own = own_conversations(request)
    if conversation_id is None:
        return render(request, "node/chat.html", _page(request))
    conversation = get_object_or_404(own.titled(), pk=conversation_id)
    try:
        over = uuid_of(request.GET.get("turn", ""))
    except ConversationMissing as error:
        return refused(request, error)
    shown = conversation_show(conversation, over=over, end=_number(request.GET.get("end", "")))
    return render(request, "node/chat.html", _page(request) | {"conversation": conversation, "shown": shown})


@require_GET
def passing(request: HttpRequest) -> HttpResponse:
    """Show an empty conversation that only the page itself will know."""
    return render(request, "node/chat.html", _page(request) | {"is_passing": True})


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Take a question and show it with its answer to come."""
    try:
        where = Where(
            conversation_id=uuid_of(request.POST.get("conversation", "")),
            after=uuid_of(request.POST.get("after", "")),
            instead=uuid_of(request.POST.get("instead", "")),
        )
        turn = question_ask(
            asker=asker_of(request),
            where=where,
            question=request.POST.get("question", ""),
            lesson=lesson_of(request.session),
            now=timezone.now(),
        )
    except FederationError as error:
        return refused(request, error)
    return _asked(request, turn, is_whole=where.instead is not None)


@require_POST
def again(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Have the same question answered once more."""
    answer = own_answer(request, answer_id)
    try:
        turn = question_repeat(asker=asker_of(request), answer=answer, now=timezone.now())
    except FederationError as error:
        return refused(request, error)
    return _asked(request, turn, is_whole=True)


@require_POST
def lesson(request: HttpRequest) -> HttpResponse:
    """Remember for what grade and subject answers shall be, and whether they shall lead instead of telling."""
    try:
        lesson_keep(request.session, lesson_read(request.POST))
    except FederationError as error:
        return refused(request, error)
    return render(request, "node/lesson.html", _lesson(request)) if is_part(request) else redirect("chat")


def _asked(request: HttpRequest, turn: Turn, *, is_whole: bool) -> HttpResponse:
    """Return the new turn for the end of the page, or all turns where the way through the conversation has changed."""
    address = reverse("conversation", args=[turn.conversation_id])
    if not is_part(request):
        return redirect(f"{address}?turn={turn.pk}")
    shown = conversation_show(turn.conversation, over=turn.pk)
    page = {
        "conversation": turn.conversation,
        "shown": shown,
        "turns": shown.turns if is_whole else shown.turns[-1:],
        "is_fresh": True,
    }
    if turn.parent_id is None and not is_whole:
        # The list beside the conversation does not know this one yet.
        page |= {"is_new": True, "recent": _recent(request)}
    answer = render(request, "node/turns.html", page)
    answer["HX-Push-Url"] = f"{address}?turn={turn.pk}" if is_whole else address
    return answer


def _page(request: HttpRequest) -> dict[str, Any]:
    return {
        "recent": _recent(request),
        "has_release": slots_read(settings.NODE_ROOT).current is not None,
        "examples": EXAMPLES,
        "letters": LETTERS,
    } | _lesson(request)


def _recent(request: HttpRequest) -> list[Conversation]:
    return list(own_conversations(request).titled()[:RECENT_CONVERSATIONS])


def _lesson(request: HttpRequest) -> dict[str, Any]:
    chosen = lesson_of(request.session)
    label = Subject(chosen.subject).label if chosen.subject else ""
    return {"lesson": chosen, "subject": label, "subjects": Subject.choices, "grades": range(1, LAST_GRADE + 1)}


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 6 else None  # noqa: PLR2004 - far more turns than there are
