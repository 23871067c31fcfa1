"""Which request is being answered, for the log: its id, and the node that has shown who it is. Never more."""

from __future__ import annotations

import re
import uuid
from contextvars import ContextVar
from dataclasses import dataclass

HEADER = "X-Request-ID"
_GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class RequestTrace:
    """What log lines of one request have in common."""

    request_id: str
    node_id: str = ""


_TRACE: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)


def trace_begin(given: str) -> RequestTrace:
    """Return the trace of the request that begins, with the id that the web server gave it where that is one."""
    trace = RequestTrace(request_id=given if _GIVEN.fullmatch(given) else uuid.uuid4().hex)
    _TRACE.set(trace)
    return trace


def trace_end() -> None:
    """Leave no trace for what this thread does next."""
    _TRACE.set(None)


def trace_now() -> RequestTrace | None:
    """Return the trace of the request that is being answered."""
    return _TRACE.get()


def trace_node(node_id: str) -> None:
    """Remember the node that has shown who it is."""
    trace = _TRACE.get()
    if trace is not None:
        trace.node_id = node_id
