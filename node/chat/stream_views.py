"""The doors behind which answers are written: kept ones, ones that only their page knows, and the one that stops them.

Both streams are server-sent events: `place` (a sentence while the question waits), `piece` (words, escaped), `laid`
(all that is written up to here, laid out), and at the end `done`, the whole answer with what can be done with it.
Whoever leaves ends the answer, so that a slow PC writes for those who read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from node.chat.doors import asker_of, own_answer, refused
from node.chat.engine_client import engine_ask, engine_stream
from node.chat.engine_events import (
    AnswerFailed,
    EngineEvent,
    EngineOp,
    EngineRequest,
    EngineUnavailable,
    EventKind,
)
from node.chat.errors import StoreFull
from node.chat.laying import Laying
from node.chat.lesson import lesson_of
from node.chat.models import Answer, Citation
from node.chat.questions import history_read, messages_make, question_read, request_make
from node.chat.services import answer_begin, answer_fail, answer_finish, answer_stop, citations_make
from node.root import engine_socket_path
from node.textbooks.finding import passages_find
from node.textbooks.models import Passage

# A second reader of the same answer looks whether the first one's is complete this often, for this long.
REREAD_SECONDS = 0.5
REREAD_TIMES = 600
# An engine that is starting again, after a new release or a crash, is asked this often.
KNOCK_SECONDS = 0.5


@require_POST
def stop(request: HttpRequest, answer_id: UUID) -> HttpResponse:
    """Ask the engine to end an answer; the stream then closes it."""
    answer = own_answer(request, answer_id)
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
    """Send a kept answer piece by piece, and at the end once more, laid out."""
    answer = await sync_to_async(own_answer)(request, answer_id)
    page = _Page(request=request, language=translation.get_language() or settings.LANGUAGE_CODE)
    return _streamed(_kept(answer, page))


@require_POST
@never_cache
async def passing_answer(request: HttpRequest) -> HttpResponseBase:
    """Answer a question of a chat that only its page knows; nothing of it is kept."""
    try:
        asked = await sync_to_async(_passing_request)(request)
    except FederationError as error:
        return await sync_to_async(refused)(request, error)
    page = _Page(request=request, language=translation.get_language() or settings.LANGUAGE_CODE)
    return _streamed(_passing(asked, page))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Who reads, and in which language."""

    request: HttpRequest
    language: str

    def place(self, event: EngineEvent | None) -> str:
        """Return what is said while nothing is written; no event: the engine does not answer yet."""
        with translation.override(self.language):
            if event is None:
                return _("The engine is starting. Your question waits and will be answered.")
            return _("Your question is number %(place)d in the queue.") % {"place": event.place + 1}

    async def done(self, answer: Answer, citations: Iterable[Citation], *, is_kept: bool) -> str:
        """Return the event that ends the stream: the answer laid out."""
        html = await sync_to_async(self._render)({"answer": answer, "is_kept": is_kept}, citations)
        return _server_sent("done", html)

    def _render(self, page: dict[str, object], citations: Iterable[Citation]) -> str:
        page["citations"] = list(citations)
        with translation.override(self.language):
            return render_to_string("node/answer.html", page, request=self.request)


async def _kept(answer: Answer, page: _Page) -> AsyncIterator[str]:
    try:
        if await _begin(answer):
            async with contextlib.aclosing(_write(answer, page)) as written:
                async for event in written:
                    yield event
        else:
            async for event in _reread(answer):
                yield event
    except StoreFull as error:
        # What words there are, are in memory and shown; the row may have room for a code where the text had none.
        answer.error_code = error.code
        if not answer.text:
            answer.status = Answer.Status.FAILED
        with contextlib.suppress(StoreFull):
            await sync_to_async(_give_up)(answer.pk, error.code)
    except Answer.DoesNotExist:
        # Its conversation was deleted meanwhile, from another page.
        yield _server_sent("done", "")
        return
    yield await page.done(answer, Citation.objects.filter(turn=answer.turn_id), is_kept=True)


async def _begin(answer: Answer) -> bool:
    """Return whether this stream is the one that has the answer written."""
    begun = asyncio.ensure_future(sync_to_async(answer_begin)(answer=answer))
    try:
        return await asyncio.shield(begun)
    except asyncio.CancelledError:
        # The reader left, and the thread may have claimed the answer: whoever comes back would wait for nobody.
        if await begun:
            await sync_to_async(answer_stop)(answer=answer, text="", now=timezone.now())
        raise


async def _write(answer: Answer, page: _Page) -> AsyncGenerator[str, None]:
    laying = Laying()
    try:
        asked = await sync_to_async(_request_of)(page.request, answer)
        async with contextlib.aclosing(_events(asked)) as events:
            async for event in events:
                for line in _shown(event, laying, page):
                    yield line
                if event is not None and event.kind is EventKind.DONE:
                    await sync_to_async(answer_finish)(answer=answer, event=event, now=timezone.now())
    except StoreFull:
        raise
    except FederationError as error:
        if laying.text:
            # Half an answer is better kept than lost; the page offers to write it anew.
            await sync_to_async(answer_stop)(answer=answer, text=laying.text, now=timezone.now())
        else:
            await sync_to_async(answer_fail)(answer=answer, code=_failure_code(error), now=timezone.now())
    except (asyncio.CancelledError, GeneratorExit):
        # The reader closed the page. The write must not be cancelled with it, so it runs in a thread of its own.
        await asyncio.shield(sync_to_async(answer_stop)(answer=answer, text=laying.text, now=timezone.now()))
        raise


async def _passing(passing: _PassingRequest, page: _Page) -> AsyncIterator[str]:
    answer, laying = Answer(pk=None, status=Answer.Status.FAILED), Laying()
    try:
        async with contextlib.aclosing(_events(passing.asked)) as events:
            async for event in events:
                for line in _shown(event, laying, page):
                    yield line
                if event is not None and event.kind is EventKind.DONE:
                    answer.status = Answer.Status.STOPPED if event.is_stopped else Answer.Status.FINISHED
                    answer.text, answer.release_version = event.text, event.version
    except FederationError as error:
        answer.error_code, answer.text = _failure_code(error), laying.text
        if answer.text:
            answer.status = Answer.Status.STOPPED
    yield await page.done(answer, passing.citations, is_kept=False)


def _shown(event: EngineEvent | None, laying: Laying, page: _Page) -> Iterator[str]:
    """Yield what the reader gets for an event that is not the last."""
    if event is None or event.kind is EventKind.QUEUED:
        yield _server_sent("place", page.place(event))
    elif event.kind is EventKind.PIECE:
        for kind, words in laying.take(event.text):
            yield _server_sent(kind.value, words)


async def _events(asked: EngineRequest) -> AsyncGenerator[EngineEvent | None, None]:
    """Yield the engine's events; None while it is starting, in which case the question waits and is asked once more.

    Raises:
        EngineUnavailable: it did not start for as long as the settings let it, or ended when it had begun to answer.
    """
    knocks_left = int(settings.NODE_ENGINE_WAIT_SECONDS / KNOCK_SECONDS)
    is_over = False
    while not is_over:
        stream = engine_stream(socket_path=engine_socket_path(settings.NODE_ROOT), request=asked)
        try:
            async with contextlib.aclosing(stream) as events:
                async for event in events:
                    # What has begun to answer is not asked again from the start.
                    knocks_left = 0 if event.kind is EventKind.PIECE else knocks_left
                    is_over = event.is_last
                    yield event
        except EngineUnavailable:
            if knocks_left < 1:
                raise
            knocks_left -= 1
            yield None
            await asyncio.sleep(KNOCK_SECONDS)


async def _reread(answer: Answer) -> AsyncIterator[str]:
    for _turn in range(REREAD_TIMES):
        await answer.arefresh_from_db()
        if answer.status not in (Answer.Status.WAITING, Answer.Status.WRITING):
            return
        yield ": waiting\n\n"
        await asyncio.sleep(REREAD_SECONDS)


def _request_of(request: HttpRequest, answer: Answer) -> EngineRequest:
    asker = asker_of(request)
    return request_make(
        turn=answer.turn, client=asker.client, generation=str(answer.pk), most_waiting=asker.most_waiting
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PassingRequest:
    """What the engine is asked, and what of the school's books goes with it."""

    asked: EngineRequest
    citations: Sequence[Citation]


def _passing_request(request: HttpRequest) -> _PassingRequest:
    asker, lesson = asker_of(request), lesson_of(request.session)
    question = question_read(request.POST.get("question", ""))

    def found(question: str) -> list[Passage]:
        return passages_find(question=question, subject=lesson.subject, grade=lesson.grade)

    # Nothing says what was found for the earlier questions of a chat that is not stored; the same is found again.
    history = [
        replace(said, passages=tuple(passage.text for passage in found(said.question)))
        for said in history_read(request.POST.get("history", ""))
    ]
    passages = found(question)
    asked = EngineRequest(
        op=EngineOp.GENERATE,
        client=asker.client,
        most_waiting=asker.most_waiting,
        generation=str(uuid4()),
        messages=messages_make(
            history=history, question=question, lesson=lesson, passages=[passage.text for passage in passages]
        ),
    )
    return _PassingRequest(asked=asked, citations=citations_make(passages))


def _give_up(answer_id: UUID, code: str) -> None:
    answer_fail(answer=Answer(pk=answer_id), code=code, now=timezone.now())


def _failure_code(error: FederationError) -> str:
    return str(error.fields["reason"]) if isinstance(error, AnswerFailed) else error.code


def _streamed(events: AsyncIterator[str]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(events, content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


def _server_sent(event: str, text: str) -> str:
    # A line end inside would end the field, so each line is a field of its own (HTML standard, §9.2.6).
    return f"event: {event}\n" + "".join(f"data: {line}\n" for line in text.replace("\r", "").split("\n")) + "\n"
