"""The chat page's doors: ask, read the answer as it is written, stop, start anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.accounts import is_teacher
from node.chat.engine_client import engine_ask, engine_stream
from node.chat.engine_events import AnswerFailed, EngineOp, EngineRequest, EngineUnavailable, EventKind
from node.chat.models import Answer, Conversation, Turn
from node.chat.services import (
    Asker,
    QuestionRefused,
    answer_begin,
    answer_fail,
    answer_finish,
    answer_stop,
    messages_of,
    question_ask,
)
from node.installed.state import slots_read
from node.root import engine_socket_path

RECENT_CONVERSATIONS = 12
# Always in Tajik, whatever language the page is in: the model speaks Tajik.
EXAMPLES = (
    "Пойтахти Тоҷикистон кадом шаҳр аст?",
    "Фотосинтез чист? Ба хонандаи синфи 6 фаҳмонед.",
    "Муодилаи квадратиро чӣ тавр ҳал мекунанд?",
)
# A second reader of the same answer looks whether the first one's is complete this often, for this long.
REREAD_SECONDS = 0.5
REREAD_TIMES = 600


@require_GET
def chat(request: HttpRequest, conversation_id: UUID | None = None) -> HttpResponse:
    """Show one conversation, or an empty one."""
    asker = asker_of(request)
    own = Conversation.objects.of(person_id=asker.person_id, session_key=asker.session_key)
    conversation = get_object_or_404(own, pk=conversation_id) if conversation_id else None
    turns = conversation.turns.select_related("answer").order_by("asked_at") if conversation else Turn.objects.none()
    recent = own.prefetch_related("turns")[:RECENT_CONVERSATIONS]
    has_release = slots_read(settings.NODE_ROOT).current is not None
    page = {
        "conversation": conversation,
        "turns": turns,
        "recent": recent,
        "has_release": has_release,
        "examples": EXAMPLES,
    }
    return render(request, "node/chat.html", page)


@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Take a question and show it with its answer to come."""
    try:
        turn = question_ask(
            asker=asker_of(request),
            conversation_id=_uuid(request.POST.get("conversation", "")),
            question=request.POST.get("question", ""),
            now=timezone.now(),
        )
    except QuestionRefused:
        return HttpResponse(status=204)
    if not getattr(request, "htmx", False):
        return redirect("conversation", turn.conversation_id)
    answer = render(request, "node/turn.html", {"turn": turn, "is_fresh": True})
    answer["HX-Push-Url"] = reverse("conversation", args=[turn.conversation_id])
    return answer


@require_POST
def stop(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Ask the engine to end an answer; the stream then closes it."""
    answer = _own_answer(request, answer_id)
    try:
        engine_ask(
            socket_path=engine_socket_path(settings.NODE_ROOT),
            request=EngineRequest(op=EngineOp.STOP, generation=str(answer.pk)),
            timeout_seconds=5,
        )
    except EngineUnavailable:
        return HttpResponse(status=503)
    return HttpResponse(status=204)


@require_GET
@never_cache
async def stream(request: HttpRequest, answer_id: UUID) -> StreamingHttpResponse:
    """Send the answer piece by piece as server-sent events, and at the end once more, laid out."""
    answer, asker, may_rate = await sync_to_async(_answer_for_stream)(request, answer_id)
    language = translation.get_language() or settings.LANGUAGE_CODE
    is_first_reader = await sync_to_async(answer_begin)(answer=answer)
    events = _write(answer, asker, language) if is_first_reader else _reread(answer)

    async def lines() -> AsyncIterator[str]:
        async for event in events:
            yield event
        html = await sync_to_async(_answer_fragment)(answer, language, may_rate)
        yield _server_sent("done", html)

    response = StreamingHttpResponse(lines(), content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


async def _write(answer: Answer, asker: Asker, language: str) -> AsyncIterator[str]:
    request = EngineRequest(
        op=EngineOp.GENERATE,
        client=asker.client,
        generation=str(answer.pk),
        messages=await sync_to_async(messages_of)(answer.turn),
    )
    text = ""
    try:
        async for event in engine_stream(socket_path=engine_socket_path(settings.NODE_ROOT), request=request):
            if event.kind is EventKind.QUEUED:
                yield _server_sent("place", _place_sentence(event.place, language))
            elif event.kind is EventKind.PIECE:
                if not text:
                    yield _server_sent("place", "")
                text += event.text
                yield _server_sent("piece", escape(event.text))
            else:
                await sync_to_async(answer_finish)(answer=answer, event=event, now=timezone.now())
    except FederationError as error:
        await sync_to_async(answer_fail)(answer=answer, code=_failure_code(error), now=timezone.now())
    except (asyncio.CancelledError, GeneratorExit):
        # The reader closed the page. The write must not be cancelled with it, so it runs in a thread of its own.
        await asyncio.shield(sync_to_async(answer_stop)(answer=answer, text=text, now=timezone.now()))
        raise


async def _reread(answer: Answer) -> AsyncIterator[str]:
    for _turn in range(REREAD_TIMES):
        await answer.arefresh_from_db()
        if answer.status not in (Answer.Status.WAITING, Answer.Status.WRITING):
            return
        yield ": waiting\n\n"
        await asyncio.sleep(REREAD_SECONDS)


def _answer_fragment(answer: Answer, language: str, may_rate: bool) -> str:
    answer.refresh_from_db()
    with translation.override(language):
        return render_to_string("node/answer.html", {"answer": answer, "may_rate": may_rate})


def _answer_for_stream(request: HttpRequest, answer_id: UUID) -> tuple[Answer, Asker, bool]:
    return _own_answer(request, answer_id), asker_of(request), is_teacher(request.user)


def _failure_code(error: FederationError) -> str:
    return str(error.fields["reason"]) if isinstance(error, AnswerFailed) else error.code


def _place_sentence(place: int, language: str) -> str:
    with translation.override(language):
        return _("Your question is number %(place)d in the queue.") % {"place": place + 1}


def _server_sent(event: str, text: str) -> str:
    # A line end inside would end the field, so each line is a field of its own (HTML standard, §9.2.6).
    return f"event: {event}\n" + "".join(f"data: {line}\n" for line in text.replace("\r", "").split("\n")) + "\n"


def asker_of(request: HttpRequest) -> Asker:
    """Return whose conversations this request may see; a guest's browser gets a session at the first question."""
    if request.user.is_authenticated:
        return Asker(person_id=request.user.pk, session_key="")
    if request.session.session_key is None and request.method == "POST":
        request.session.create()
    return Asker(person_id=None, session_key=request.session.session_key or "none")


def _own_answer(request: HttpRequest, answer_id: UUID) -> Answer:
    asker = asker_of(request)
    own = Conversation.objects.of(person_id=asker.person_id, session_key=asker.session_key)
    found = Answer.objects.select_related("turn__conversation").filter(pk=answer_id, turn__conversation__in=own)
    answer = found.first()
    if answer is None:
        raise Http404
    return answer


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
