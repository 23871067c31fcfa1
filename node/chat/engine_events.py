"""The words that the page and the engine process exchange over the Unix socket: one JSON object a line.

A client writes one request line and reads event lines until one with `is_last`. Ops: `generate` streams `queued` and
`piece` events before `done`; `score`, `stop` and `status` answer with `done` alone; anything may end in `error`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from federation.errors import CapacityError, TransportError
from federation.wire.canonical import canonical_bytes, parse

MAX_LINE_BYTES = 1024 * 1024


class EngineUnavailable(TransportError):
    """No engine process answers; the supervisor is starting it again."""

    code = "engine_unavailable"


class NoReleaseInstalled(CapacityError):
    """The school has no release yet; it comes with the first sync."""

    code = "no_release_installed"


class ReleaseNotLoaded(CapacityError):
    """A release is installed and cannot be loaded; `reason` is the code that says why."""

    code = "release_not_loaded"


class ReleaseNotAtHand(CapacityError):
    """`release` cannot answer beside the release that runs: it is on another base, or not kept any more."""

    code = "release_not_at_hand"


class AnswerFailed(TransportError):
    """The engine met an error while answering; `reason` is its code."""

    code = "answer_failed"


class EngineOp(enum.Enum):
    """What the engine process can be asked."""

    GENERATE = "generate"
    SCORE = "score"
    STOP = "stop"
    STATUS = "status"


class EventKind(enum.Enum):
    """What an event line tells."""

    QUEUED = "queued"
    PIECE = "piece"
    DONE = "done"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One message of a conversation; `role` is `system`, `user` or `model`."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One request line."""

    op: EngineOp
    client: str = ""
    """Whose turn it is in the fair queue."""
    most_waiting: int = 0
    """How many requests of the client may wait; 0: any number."""
    generation: str = ""
    """Name by which `stop` finds a generation."""
    messages: tuple[ChatMessage, ...] = ()
    answer: str = ""
    """The answer to score after `messages`."""
    max_tokens: int = 512
    temperature: float = 0.0
    """0 takes the likeliest token each time, as the page does; up to 2."""
    top_p: float = 1.0
    seed: int = 0
    """Of the draws at a temperature above 0; 0 to 2**31 - 1."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these texts, which is not part of it."""
    release: str = ""
    """The digest of the release that is to answer; empty: the one that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """One event line."""

    kind: EventKind
    text: str = ""
    """Of a piece; whole in `done`."""
    place: int = 0
    """In the queue; 0 is served next."""
    release: str = ""
    """That answers; in `done`, and in a piece where the engine names it already."""
    version: int = 0
    is_stopped: bool = False
    """Somebody ended the answer: `stop`, the reader who left, or the end of the engine process."""
    is_complete: bool = True
    """The model or a stop text ended the answer; False: `max_tokens` did."""
    logprob_per_token: float = 0.0
    prompt_tokens: int = 0
    """That the model read, the marks of the turns included."""
    tokens: int = 0
    """Of the answer."""
    waiting: int = 0
    answering: int = 0
    """Of a status: how many answers are being written."""
    idle_seconds: float = 0.0
    """Of a status: since anything was asked, or a token written, or since the engine process began."""
    code: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Return whether nothing follows."""
        return self.kind in (EventKind.DONE, EventKind.ERROR)


def line_of(document: EngineRequest | EngineEvent) -> bytes:
    """Return `document` as one line."""
    return canonical_bytes(document) + b"\n"


def request_read(line: bytes) -> EngineRequest:
    """Return the request on `line`.

    Raises:
        MalformedDocument: it is none.
    """
    return parse(EngineRequest, line)


def event_read(line: bytes) -> EngineEvent:
    """Return the event on `line`; an `error` event is raised as the typed error that it carries.

    Raises:
        NoReleaseInstalled: the engine has nothing to answer with.
        EngineUnavailable: the line is empty or broken: the engine process ended.
        AnswerFailed: anything else that the engine tells.
    """
    if not line.endswith(b"\n"):
        raise EngineUnavailable(reason="connection_closed")
    event = parse(EngineEvent, line)
    if event.kind is EventKind.ERROR:
        if event.code == NoReleaseInstalled.code:
            raise NoReleaseInstalled
        raise AnswerFailed(reason=event.code)
    return event
