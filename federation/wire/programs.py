"""Programs: what a node says of the software that it runs (protocol §9)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramReport:
    """Which version of the program runs on a PC, and the last one that was given up there."""

    version: str
    failed: str = ""
    """The version that was tried and did not serve; empty where none ever failed."""
    code: str = ""
    """Why."""
