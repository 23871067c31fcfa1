"""Reads what every release is measured on: texts by language, and questions that no school has corrected."""

from __future__ import annotations

from pathlib import Path

from central.releases.measure import Pair
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
