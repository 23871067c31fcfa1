"""What the chat's doors share: whose request it is, what of it is theirs, and how a refusal is shown."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from federation.errors import FederationError
from node.address import device_address
from node.chat.errors import (
    ConversationMissing,
    DeviceCrowded,
    HistoryRefused,
    LessonRefused,
    StoreFull,
    TooManyWaiting,
    room_expected,
)
from node.chat.models import Answer, ConversationQuerySet
from node.chat.services import Asker
from node.sentences import error_sentence

_STATUS = {
    ConversationMissing.code: 404,
    HistoryRefused.code: 400,
    LessonRefused.code: 400,
    StoreFull.code: 507,
    DeviceCrowded.code: 429,
    TooManyWaiting.code: 429,
}
_UNPROCESSABLE = 422


def asker_of(request: HttpRequest) -> Asker:
    """Return whose conversations this request may see; a guest's browser gets a session at the first question.

    Raises:
        StoreFull: the disk has no room for the session.
    """
    if request.user.is_authenticated:
        return Asker(person_id=request.user.pk, session_key="")
    # Asking for the user has read the session, so a cookie that the node never gave, or one that ended, is no key here.
    if request.session.session_key is None and request.method == "POST":
        with room_expected():
            request.session.create()
    return Asker(person_id=None, session_key=request.session.session_key or "none", address=device_address(request))


def own_conversations(request: HttpRequest) -> ConversationQuerySet:
    """Return the conversations that this request may see."""
    return asker_of(request).conversations()


def own_answer(request: HttpRequest, answer_id: UUID) -> Answer:
    """Return the answer, if it is in one of the asker's conversations.

    Raises:
        Http404: it is not, or there is none.
    """
    found = Answer.objects.select_related("turn__conversation", "turn__parent").filter(
        pk=answer_id, turn__conversation__in=own_conversations(request)
    )
    answer = found.first()
    if answer is None:
        raise Http404
    return answer


def uuid_of(text: str) -> UUID | None:
    """Return the id that a form holds; None where it is empty.

    Raises:
        ConversationMissing: it is no id.
    """
    try:
        return UUID(text) if text else None
    except ValueError as error:
        raise ConversationMissing from error


def refused(request: HttpRequest, error: FederationError) -> HttpResponse:
    """Return a sentence for `error` with its status: alone for a script, which shows it in place, else as a page."""
    page = {"sentence": error_sentence(error), "code": error.code}
    template = "node/refusal.html" if is_part(request) else "node/refused.html"
    return render(request, template, page, status=_STATUS.get(error.code, _UNPROCESSABLE))


def is_part(request: HttpRequest) -> bool:
    """Return whether a script asks and will put the answer into the page that is there."""
    # Set by django-htmx's middleware, of which the stubs do not know.
    return bool(getattr(request, "htmx", False))
