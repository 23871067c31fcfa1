"""How a refusal reads to a program that speaks OpenAI's words: status, error object, and when to try again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from django.utils import translation

from federation.errors import FederationError, TransportError, WireError
from node.chat.api_keys import ApiKeyUnknown
from node.chat.engine_events import AnswerFailed
from node.chat.openai_request import CompletionRefused, RefusalReason
from node.sentences import error_sentence

RETRY_SECONDS = 20
_CALLER = "invalid_request_error"


class ModelUnknown(WireError):
    """The model `model` does not answer here; `known` names those that do."""

    code = "model_unknown"


class QueueTooLong(TransportError):
    """So many questions (`place`) are before this one that the program would give up waiting."""

    code = "queue_too_long"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What is answered instead of an answer."""

    status: int
    document: str
    """JSON. Source: OpenAI API reference, "Error codes"."""
    retry_seconds: int | None


# The status, the type and the code that existing clients know for our codes; every other is the school's own trouble.
_KNOWN = {
    ApiKeyUnknown.code: (401, _CALLER, "invalid_api_key"),
    ModelUnknown.code: (404, _CALLER, "model_not_found"),
    "prompt_too_long": (400, _CALLER, "context_length_exceeded"),
    QueueTooLong.code: (429, "rate_limit_error", "rate_limit_exceeded"),
}


def refusal_make(error: FederationError, *, language: str) -> Refusal:
    """Return how `error` is told to the caller, in `language`."""
    status, kind, code = _known(error)
    with translation.override(language):
        message = error_sentence(error)
    document = {"error": {"message": message, "type": kind, "param": error.fields.get("param"), "code": code}}
    is_for_later = status in (429, 503)
    return Refusal(
        status=status,
        document=json.dumps(document, ensure_ascii=False),
        retry_seconds=RETRY_SECONDS if is_for_later else None,
    )


def _known(error: FederationError) -> tuple[int, str, str]:
    if isinstance(error, CompletionRefused):
        reason = str(error.fields["reason"])
        return 413 if reason == RefusalReason.TOO_LARGE.value else 400, _CALLER, reason
    code = str(error.fields["reason"]) if isinstance(error, AnswerFailed) else error.code
    return _KNOWN.get(code, (503, "server_error", code))
