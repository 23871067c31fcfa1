"""What a chat completion's answer looks like in OpenAI's words: whole, in pieces, and the list of models.

Builds text out of values and knows neither the engine's socket nor the database. A model is called
`release-<version>` after its release, and `current` is whichever runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from node.chat.engine_events import EngineEvent

CURRENT = "current"
OWNER = "school"
FINGERPRINT_DIGITS = 12
STREAM_END = "data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What each document of one answer repeats."""

    id: str
    created: int
    """Seconds since 1970."""
    model: str
    fingerprint: str
    """The first digits of the release's digest."""

    def by(self, event: EngineEvent) -> Answering:
        """Return the same with the release that `event` names: another may run by the time the answer's turn comes."""
        if not event.release:
            return self
        return replace(self, model=model_name(event.version), fingerprint=event.release[:FINGERPRINT_DIGITS])


def model_name(version: int) -> str:
    """Return the name under which a release answers."""
    return f"release-{version}"


def completion_text(answering: Answering, done: EngineEvent) -> str:
    """Return the whole answer as JSON. Source: OpenAI API reference, "The chat completion object"."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": done.text, "refusal": None},
        "logprobs": None,
        "finish_reason": _finish_reason(done),
    }
    return _json({**_head(answering, "chat.completion"), "choices": [choice], "usage": _usage(done)})


def opening_chunk(answering: Answering) -> str:
    """Return the event that opens a stream. Source: OpenAI API reference, "The chat completion chunk object"."""
    return _chunk(answering, {"role": "assistant", "content": ""}, None)


def piece_chunk(answering: Answering, text: str) -> str:
    """Return the event that carries a piece of the answer."""
    return _chunk(answering, {"content": text}, None)


def closing_chunks(answering: Answering, done: EngineEvent, *, has_usage: bool) -> str:
    """Return the events that end a stream, with the numbers of tokens where they were asked for."""
    last = _chunk(answering, {}, _finish_reason(done))
    if has_usage:
        head = _head(answering, "chat.completion.chunk")
        last += _server_sent({**head, "choices": [], "usage": _usage(done)})
    return last + STREAM_END


def error_event(document: str) -> str:
    """Return the event that ends a stream which cannot go on; `document` is an error as JSON."""
    return f"data: {document}\n\n"


def model_text(*, name: str, created: int) -> str:
    """Return one model as JSON. Source: OpenAI API reference, "The model object"."""
    return _json(_model(name, created))


def models_text(created: Mapping[str, int]) -> str:
    """Return the list of the models that answer, as JSON; `created` says by name when each came."""
    return _json({"object": "list", "data": [_model(name, came_at) for name, came_at in created.items()]})


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": OWNER}


def _head(answering: Answering, kind: str) -> dict[str, Any]:
    return {
        "id": answering.id,
        "object": kind,
        "created": answering.created,
        "model": answering.model,
        "system_fingerprint": answering.fingerprint,
    }


def _chunk(answering: Answering, delta: dict[str, str], finish_reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _server_sent({**_head(answering, "chat.completion.chunk"), "choices": [choice], "usage": None})


def _finish_reason(done: EngineEvent) -> str:
    return "stop" if done.is_complete else "length"


def _usage(done: EngineEvent) -> dict[str, int]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.tokens,
        "total_tokens": done.prompt_tokens + done.tokens,
    }


def _server_sent(document: dict[str, Any]) -> str:
    return f"data: {_json(document)}\n\n"


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
