"""What a child process of the school's user answers to root."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Empty `code`: all is well. `detail` is for the log."""

    code: str = ""
    detail: str = ""
