"""What the demo is asked for: corrections, schools, checkpoint, ports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.demo.errors import StepFailed
from federation.ports import PortInUse, port_check

DATA = Path(__file__).resolve().parent
PORTS_PER_SCHOOL = 10
TAUGHT_SCHOOLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question and the answer that a teacher corrects the model's answer to."""

    question: str
    correction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Every port of the demo, counted from one base."""

    base: int

    @property
    def centre(self) -> int:
        """The centre's web server."""
        return self.base

    @property
    def fleet(self) -> int:
        """The centre's SuperLink."""
        return self.base + 1

    def page(self, school: int) -> int:
        """The page of the school with this number."""
        return self.base + PORTS_PER_SCHOOL * (school + 1)

    def link(self, school: int) -> int:
        """The school's end of its link to the centre's web server."""
        return self.page(school) + 1

    def fleet_link(self, school: int) -> int:
        """The school's end of its link to the SuperLink."""
        return self.page(school) + 2

    def check_free(self, schools: int) -> None:
        """Return when every port can be had.

        Raises:
            StepFailed: one is in use; names it.
        """
        wanted = [self.centre, self.fleet]
        wanted += [port for n in range(schools) for port in (self.page(n), self.link(n), self.fleet_link(n))]
        for port in wanted:
            try:
                port_check(host="127.0.0.1", port=port, option="--port-base")
            except PortInUse as error:
                reason = f"port {port} is in use; end what uses it, or pass another --port-base"
                raise StepFailed(step="ports", reason=reason, log="") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run of the demo. `pairs[i]` is corrected by the teacher of school `i % schools`."""

    root: Path
    cache: Path
    pairs: Sequence[Pair]
    schools: int
    checkpoint: Path | None
    ports: Ports
    keep: bool


def pairs_read(questions: Sequence[str], corrections: Sequence[str]) -> list[Pair]:
    """Return the pairs asked for, completed from the demo's own so that at least two schools have one.

    Raises:
        StepFailed: a question lacks its correction or the other way round.
    """
    if len(questions) != len(corrections):
        reason = f"{len(questions)} --question but {len(corrections)} --correction; give them in pairs"
        raise StepFailed(step="options", reason=reason, log="")
    given = [Pair(question=q, correction=c) for q, c in zip(questions, corrections, strict=True)]
    asked = {pair.question for pair in given}
    own = [pair for pair in pairs_from(DATA / "corrections.jsonl") if pair.question not in asked]
    return given + own[: max(0, TAUGHT_SCHOOLS - len(given))]


def pairs_from(path: Path) -> list[Pair]:
    """Return the pairs that the lines of a file are."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Pair(question=line["question"], correction=line["correction"]) for line in map(json.loads, lines)]
