"""Ends a call at any of its lines, as a power cut would: for tests that what is half done is gone on with."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any


class Cut(BaseException):
    """The process is gone; nothing may catch it."""


def lines_of(call: Callable[[], Any], *, under: Path) -> list[tuple[str, int]]:
    """Return each line of the files under `under` that `call` executes, in the order of their first time."""
    seen: dict[tuple[str, int], None] = {}

    def look(frame: FrameType, event: str) -> None:
        if event == "line":
            seen.setdefault((frame.f_code.co_filename, frame.f_lineno))

    _traced(call, under, look)
    return list(seen)


def cut_at(call: Callable[[], Any], line: tuple[str, int], *, under: Path) -> bool:
    """Begin `call` and end it before `line` is executed; tell whether it came there."""

    def look(frame: FrameType, event: str) -> None:
        if event == "line" and (frame.f_code.co_filename, frame.f_lineno) == line:
            raise Cut

    try:
        _traced(call, under, look)
    except Cut:
        return True
    return False


def _traced(call: Callable[[], Any], under: Path, look: Callable[[FrameType, str], None]) -> None:
    folder = str(under)

    def local(frame: FrameType, event: str, _argument: Any) -> Any:
        look(frame, event)
        return local

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if frame.f_code.co_filename.startswith(folder) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
