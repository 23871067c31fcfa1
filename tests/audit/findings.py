"""What one look at the tree or its packages came to, and the answers that a person has written to findings."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

TREE = Path(__file__).resolve().parents[2]
ANSWERS = Path(__file__).with_name("answers.toml")
PACKAGES = ("central", "node", "federation")
LONGEST_SECONDS = 300.0

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How one look went."""

    name: str
    told: str
    """One sentence on what was looked at, or why nothing could be."""
    problems: tuple[str, ...] = ()
    has_looked: bool = True


class AuditBroken(Exception):
    """A tool did not do its work, so that its silence means nothing."""


def answers_read(kind: str) -> dict[tuple[str, ...], str]:
    """Return the reasons of the answered findings of `kind`, by what names each of them."""
    rows: list[dict[str, str]] = tomllib.loads(ANSWERS.read_text(encoding="utf-8")).get(kind, [])
    return {tuple(value for name, value in row.items() if name != "reason"): row["reason"] for row in rows}


def unanswered(
    found: Iterable[_Found],
    *,
    name: Callable[[_Found], tuple[str, ...]],
    tell: Callable[[_Found], str],
    answers: Collection[tuple[str, ...]],
) -> tuple[str, ...]:
    """Return a line for each finding without an answer, and for each answer that nothing asks for any more."""
    findings = list(found)
    left = [tell(each) for each in findings if name(each) not in answers]
    idle = set(answers) - {name(each) for each in findings}
    return (*left, *(f"answers.toml answers what nobody finds: {', '.join(each)}" for each in sorted(idle)))


def tool_run(module: str, *arguments: str, seconds: float = LONGEST_SECONDS) -> subprocess.CompletedProcess[str]:
    """Return how the Python tool `module` ended; tools say by their status that they found something."""
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, cwd=TREE, capture_output=True, text=True, timeout=seconds, check=False)


def json_read(ended: subprocess.CompletedProcess[str]) -> Any:
    """Return what a tool printed.

    Raises:
        AuditBroken: it printed something else.
    """
    try:
        return json.loads(ended.stdout)
    except ValueError as error:
        said: Sequence[str] = (ended.stderr or ended.stdout).strip().splitlines()
        raise AuditBroken(f"{ended.args[2]}: {said[-1] if said else f'ended with {ended.returncode}'}") from error
