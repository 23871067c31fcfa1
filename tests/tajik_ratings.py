"""A hundred ratings as teachers write them: real Tajik questions and sentences, three in ten with a correction.

The texts are the project's own (questions of the suites and examples, the Declaration of Human Rights, the catalogues
of both pages): about 40 letters a question and 85 an answer, and no answer twice, so that a compressor finds the
language in them and not a copy. A correction is what a teacher makes of an answer: its first half, then something else.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
QUESTIONS = (
    "central/releases/evaluation/suite.tg.jsonl",
    "central/releases/unrelated.jsonl",
    "central/releases/packaging/chat_tuning.jsonl",
    "central/training/anchors.jsonl",
    "federation/demo/corrections.jsonl",
)
CATALOGUES = ("node/locale/tg/LC_MESSAGES/django.po", "central/locale/tg/LC_MESSAGES/django.po")
SUBJECTS = ("mathematics", "physics", "geography", "history", "tajik-language")
REASONS = ("wrong", "unclear", "incomplete")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRating:
    """What a teacher filled in, and about what."""

    question: str
    answer: str
    stars: int
    correction: str
    reasons: tuple[str, ...]
    subject: str
    grade: int


def written_ratings(count: int, *, seed: int = 1) -> list[WrittenRating]:
    """Return `count` ratings, at most a hundred, the same for the same seed."""
    rng = random.Random(seed)
    questions, sentences = _questions(), _sentences()
    rng.shuffle(sentences)
    return [_rating(questions[number % len(questions)], sentences, rng) for number in range(count)]


def _rating(question: str, sentences: list[str], rng: random.Random) -> WrittenRating:
    answer = sentences.pop()
    has_correction = rng.random() < 0.3
    return WrittenRating(
        question=question,
        answer=answer,
        stars=rng.randint(1, 5),
        correction=answer[: len(answer) // 2] + sentences.pop()[:80] if has_correction else "",
        reasons=tuple(rng.sample(REASONS, rng.randint(0, 2))),
        subject=rng.choice(SUBJECTS),
        grade=rng.randint(5, 11),
    )


def _questions() -> list[str]:
    lines = [line for name in QUESTIONS for line in (TREE / name).read_text("utf-8").splitlines() if line.strip()]
    asked = [json.loads(line) for line in lines]
    texts = [each.get("question") or each.get("prompt") for each in asked]
    return list(dict.fromkeys(text for text in texts if text))


def _sentences() -> list[str]:
    declaration = (TREE / "central/releases/evaluation/udhr.tg.txt").read_text("utf-8")
    pieces = [piece.strip() for piece in re.split(r"(?<=[.;:])\s+|\n", declaration)]
    catalogues = "".join((TREE / name).read_text("utf-8") for name in CATALOGUES)
    pieces += re.findall(r'^msgstr "([^"\n]{50,240})"$', catalogues, re.MULTILINE)
    return list(dict.fromkeys(piece for piece in pieces if 30 < len(piece) < 260))
