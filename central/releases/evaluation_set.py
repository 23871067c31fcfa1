"""Reads what every release is measured on: texts by language, questions that no school has corrected, and suites."""

from __future__ import annotations

from pathlib import Path

from central.releases.measure import Pair
from federation.inference.errors import SuiteInvalid
from federation.inference.suite import Suite, suite_read
from federation.wire.canonical import parse
from federation.wire.rounds import Example

FOLDER = Path(__file__).parent / "evaluation"
GATE_LANGUAGES = ("tg", "en")
UNRELATED_FILE = Path(__file__).parent / "unrelated.jsonl"


def texts_read(folder: Path = FOLDER) -> dict[str, str]:
    """Return the texts whose perplexity the gate compares, by language code."""
    return {language: (folder / f"udhr.{language}.txt").read_text("utf-8") for language in GATE_LANGUAGES}


def unrelated_read(path: Path = UNRELATED_FILE) -> list[Pair]:
    """Return the questions whose answers an adapter must leave where they were."""
    lines = path.read_bytes().splitlines()
    examples = [parse(Example, line) for line in lines if line.strip()]
    return [Pair(question=example.prompt, answer=example.answer) for example in examples]


def suites_read(*, shipped: Path = FOLDER, extra: Path | None) -> list[Suite]:
    """Return the shipped suites and those of the folder `extra`, each in the order of their names.

    Raises:
        SuiteInvalid: a file is no suite, `extra` is no folder, or a suite of the same name was read before.
    """
    if extra is not None and not extra.is_dir():
        raise SuiteInvalid(path=str(extra), line=0, problem="no such folder")
    suites: dict[str, Suite] = {}
    for path in [path for folder in (shipped, extra) if folder for path in sorted(folder.glob("*.jsonl"))]:
        suite = suite_read(path)
        if suite.name in suites:
            raise SuiteInvalid(path=str(path), line=0, problem=f"there is a suite {suite.name} already")
        suites[suite.name] = suite
    return list(suites.values())
