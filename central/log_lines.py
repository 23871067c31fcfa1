"""Log lines for machines: one JSON object a line, with the request's id and the node's.

Of an error it tells kind, code and where in the program, never the error's own words: a database's repeat the row that
it refused, and that may be what a teacher wrote.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

from central.request_trace import trace_now

EXTRAS = ("method", "route", "status", "duration_ms", "task", "task_id")
_MOST_FRAMES = 20


class JsonLines(logging.Formatter):
    """Makes one line of each record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = trace_now()
        if trace is not None:
            line["request_id"] = trace.request_id
            if trace.node_id:
                line["node_id"] = trace.node_id
        line |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            line["errors"] = [_error(each) for each in _chain(record.exc_info[1])]
        return json.dumps(line, ensure_ascii=False, default=str)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    follow: BaseException | None = error
    while follow is not None and id(follow) not in seen:
        seen.add(id(follow))
        yield follow
        follow = follow.__cause__ or follow.__context__


def _error(error: BaseException) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__)[-_MOST_FRAMES:]
    told: dict[str, object] = {"kind": f"{type(error).__module__}.{type(error).__qualname__}"}
    # Of ours the stable code, of PostgreSQL's the standard one.
    code = getattr(error, "code", None) or getattr(error, "sqlstate", None)
    if isinstance(code, str | int):
        told["code"] = code
    return {**told, "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]}
