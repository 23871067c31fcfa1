"""The licences of all packages that are installed here: none that a ministry could not hand on to its schools."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from tests.audit.findings import Look, answers_read, json_read, tool_run, unanswered

_REFUSED = re.compile(
    r"affero|agpl|sspl|server side public|business source|commons clause|proprietary|unknown", re.IGNORECASE
)
_GPL = re.compile(r"(?<!l)gpl|(?<!lesser )general public", re.IGNORECASE)
_CHOICE = re.compile(r"\s+OR\s+", re.IGNORECASE)


def licences_look() -> Look:
    """Return which installed packages come under a licence that needs an answer."""
    rows = json_read(tool_run("piplicenses", "--format=json", "--with-system"))
    packages = {row["Name"]: row["License"] for row in rows}
    problems = licences_judge(packages, answers=answers_read("licence"))
    return Look(name="licences", told=f"The licences of {len(packages)} packages were read.", problems=problems)


def licences_judge(packages: Mapping[str, str], *, answers: Collection[tuple[str, ...]]) -> tuple[str, ...]:
    """Return a line for each package whose licence is the GPL without an L, the AGPL or its kin, or not to be found."""
    refused: Iterable[tuple[str, str]] = ((name, text) for name, text in packages.items() if _is_refused(text))
    return unanswered(refused, name=lambda each: (each[0],), tell=lambda each: f"{each[0]}: {each[1]}", answers=answers)


def _is_refused(text: str) -> bool:
    # Where a package leaves the choice, one licence that will do is enough.
    return all(_REFUSED.search(each) or _GPL.search(each) for each in _CHOICE.split(text))
