"""Programs: their forms, and what a node says of the software that it runs (protocol §9).

A program has two forms for a version of Python: a lean one, such as `cp311`, and one that brings all that learning
takes besides, `cp311-learning`. A PC goes on with the form that it was installed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.wire.canonical import LEFT_OUT

LEARNING = "-learning"
"""What the names of those forms end in that a PC can learn with."""


def is_learning(form: str) -> bool:
    """Tell whether a PC with this form of a program can learn."""
    return form.endswith(LEARNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramReport:
    """Which version of the program runs on a PC, and the last one that was given up there."""

    version: str
    failed: str = ""
    """The version that was tried and did not serve; empty where none ever failed."""
    code: str = ""
    """Why."""
    form: str = field(default="", metadata=LEFT_OUT)
    """In which form the program is here; programs of before do not say."""
