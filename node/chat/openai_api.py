"""The OpenAI-compatible doors: chat completions, whole or streamed, and the models, for programs with an API key.

A browser's session opens nothing here. These doors take no CSRF token, because programs have none; if a session were
enough, any page that a signed-in teacher visits could ask in the teacher's name. A bearer key is never sent by itself.
Nothing that passes through is stored.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils import timezone, translation
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from federation.errors import FederationError
from federation.trust.release_bytes import INDEX_NAME
from node.chat.api_keys import ApiKeyUnknown, api_key_admit
from node.chat.engine_client import engine_stream
from node.chat.engine_events import (
    EngineEvent,
    EngineOp,
    EngineRequest,
    EngineUnavailable,
    EventKind,
    NoReleaseInstalled,
)
from node.chat.openai_answer import (
    CURRENT,
    FINGERPRINT_DIGITS,
    Answering,
    closing_chunks,
    completion_text,
    error_event,
    model_name,
    model_text,
    models_text,
    opening_chunk,
    piece_chunk,
)
from node.chat.openai_refusal import ModelUnknown, QueueTooLong, refusal_make
from node.chat.openai_request import SEEDS, CompletionRefused, CompletionRequest, RefusalReason, completion_request_read
from node.chat.services import Asker
from node.installed.disk import release_path
from node.installed.services import ActiveRelease, active_release, releases_beside
from node.root import engine_socket_path

# On a slow PC a hundred answers before one's own take some ten minutes, after which the usual clients have given up.
MAX_PLACE = 100


@csrf_exempt
@require_POST
@never_cache
async def chat_completions(request: HttpRequest) -> HttpResponseBase:
    """Answer the messages with the release that is named, whole or as server-sent events."""
    language = translation.get_language_from_request(request)
    try:
        person_id = await sync_to_async(_admit)(request)
        asked = completion_request_read(_body(request))
        answering, release = await sync_to_async(_answering)(asked.model)
        first, events = await _begin(_engine_request(asked, answering, release, person_id))
        if asked.is_stream:
            return _streamed(_chunks(answering, first, events, has_usage=asked.has_usage, language=language))
        return HttpResponse(await _whole(answering, first, events), content_type="application/json")
    except FederationError as error:
        return _refused(error, language)


@csrf_exempt
@require_GET
@never_cache
def models(request: HttpRequest) -> HttpResponse:
    """List the names of the release that runs and of those that can answer beside it; none before the first release."""
    try:
        _admit(request)
        created = {name: _came_at(release) for name, release in _models().items()}
        return HttpResponse(models_text(created), content_type="application/json")
    except FederationError as error:
        return _refused(error, translation.get_language_from_request(request))


@csrf_exempt
@require_GET
@never_cache
def model(request: HttpRequest, name: str) -> HttpResponse:
    """Tell of one model."""
    try:
        _admit(request)
        created = _came_at(_known(name, _models()))
        return HttpResponse(model_text(name=name, created=created), content_type="application/json")
    except FederationError as error:
        return _refused(error, translation.get_language_from_request(request))


def _admit(request: HttpRequest) -> int:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise ApiKeyUnknown
    return api_key_admit(text=text.strip(), today=timezone.localdate())


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig as error:
        raise CompletionRefused(reason=RefusalReason.TOO_LARGE.value) from error


def _models() -> dict[str, ActiveRelease]:
    """Return the releases that can be asked, by name: the one that runs first."""
    root = Path(settings.NODE_ROOT)
    active = active_release(root=root)
    if active is None:
        return {}
    beside = {model_name(release.index.version): release for release in releases_beside(root=root)}
    return {CURRENT: active, model_name(active.index.version): active} | beside


def _came_at(release: ActiveRelease) -> int:
    """Return when the release came, in seconds since 1970."""
    return int((release_path(Path(settings.NODE_ROOT), release.digest) / INDEX_NAME).stat().st_mtime)


def _known(name: str, known: Mapping[str, ActiveRelease]) -> ActiveRelease:
    if name not in known:
        raise ModelUnknown(model=name, known=", ".join(known))
    return known[name]


def _answering(name: str) -> tuple[Answering, str]:
    """Return what the answer's documents repeat, and the release to ask; empty: whichever runs by then."""
    known = _models()
    if not known:
        raise NoReleaseInstalled
    release = _known(name, known)
    answering = Answering(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(timezone.now().timestamp()),
        model=model_name(release.index.version),
        fingerprint=release.digest[:FINGERPRINT_DIGITS],
    )
    return answering, "" if name == CURRENT else release.digest


def _engine_request(asked: CompletionRequest, answering: Answering, release: str, person_id: int) -> EngineRequest:
    return EngineRequest(
        op=EngineOp.GENERATE,
        # The same name as on the page, so that a person with many programs has one turn and not many.
        client=Asker(person_id=person_id, session_key="").client,
        generation=answering.id,
        messages=asked.messages,
        max_tokens=asked.max_tokens,
        # A nucleus of nothing leaves only the likeliest token, which is what temperature 0 says.
        temperature=asked.temperature if asked.top_p > 0 else 0.0,
        top_p=asked.top_p,
        seed=secrets.randbelow(SEEDS) if asked.seed is None else asked.seed,
        stop=asked.stop,
        release=release,
    )


async def _begin(request: EngineRequest) -> tuple[EngineEvent, AsyncGenerator[EngineEvent, None]]:
    """Return the engine's first event and the rest to come: what fails until then still has a status of its own."""
    events = engine_stream(socket_path=engine_socket_path(settings.NODE_ROOT), request=request)
    first = await anext(events)
    if first.place >= MAX_PLACE:
        await events.aclose()
        raise QueueTooLong(place=first.place)
    return first, events


async def _each(first: EngineEvent, events: AsyncGenerator[EngineEvent, None]) -> AsyncGenerator[EngineEvent, None]:
    """Yield `first`, then the rest; the engine stops when this is left early.

    Raises:
        EngineUnavailable: the engine ended in the middle of the answer.
    """
    async with aclosing(events):
        event = first
        while not event.is_last:
            yield event
            event = await anext(events)
        if event.is_stopped:
            raise EngineUnavailable(reason="stopped")
        yield event


async def _whole(answering: Answering, first: EngineEvent, events: AsyncGenerator[EngineEvent, None]) -> str:
    async with aclosing(_each(first, events)) as each:
        last = [event async for event in each][-1]
    return completion_text(answering.by(last), last)


async def _chunks(
    answering: Answering,
    first: EngineEvent,
    events: AsyncGenerator[EngineEvent, None],
    *,
    has_usage: bool,
    language: str,
) -> AsyncIterator[str]:
    is_open = False
    try:
        async with aclosing(_each(first, events)) as each:
            async for event in each:
                answering = answering.by(event)
                if event.kind is EventKind.QUEUED:
                    # A comment, which readers skip: it keeps the connection from being taken for dead.
                    yield f": place {event.place}\n\n"
                    continue
                if not is_open:
                    is_open = True
                    yield opening_chunk(answering)
                if event.kind is EventKind.PIECE:
                    yield piece_chunk(answering, event.text)
                else:
                    yield closing_chunks(answering, event, has_usage=has_usage)
    except FederationError as error:
        yield error_event(refusal_make(error, language=language).document)


def _streamed(chunks: AsyncIterator[str]) -> StreamingHttpResponse:
    response = StreamingHttpResponse(chunks, content_type="text/event-stream")
    response["X-Accel-Buffering"] = "no"
    return response


def _refused(error: FederationError, language: str) -> HttpResponse:
    refusal = refusal_make(error, language=language)
    response = HttpResponse(refusal.document, status=refusal.status, content_type="application/json")
    if refusal.status == 401:  # noqa: PLR2004 - RFC 9110, §15.5.2
        response["WWW-Authenticate"] = "Bearer"
    if refusal.retry_seconds is not None:
        response["Retry-After"] = str(refusal.retry_seconds)
    return response
