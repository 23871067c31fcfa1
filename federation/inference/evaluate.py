"""Measures an engine: perplexity by language, and a suite of questions whose answers are matched word by word.

The same measure judges a candidate at the centre and a trial at a school.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from federation.inference.engine import Engine
from federation.inference.prompt import Role, Turn

_NOT_WORDS = re.compile(r"[^\w]+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the texts of which one must be in the answer; `reference` is a whole good answer."""

    language: str
    prompt: str
    accepted: tuple[str, ...]
    reference: str


@dataclass(frozen=True, slots=True)
class QuestionOutcome:
    """What was answered, whether it matches, and the mean log-probability a token (nats) of the reference answer."""

    prompt: str
    answer: str
    is_match: bool
    reference_logprob: float


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """All that was measured; perplexity is by language."""

    perplexity: Mapping[str, float]
    outcomes: tuple[QuestionOutcome, ...]

    @property
    def matched(self) -> int:
        """How many questions were answered with an accepted text."""
        return sum(outcome.is_match for outcome in self.outcomes)


def engine_evaluate(
    engine: Engine, *, texts: Mapping[str, str], questions: Sequence[Question], max_new_tokens: int = 64
) -> EvaluationReport:
    """Return the perplexity of `engine` on each of `texts` (by language) and its greedy answers to `questions`."""
    perplexity = {language: engine.perplexity(text) for language, text in texts.items()}
    outcomes = tuple(_ask(engine, question, max_new_tokens) for question in questions)
    return EvaluationReport(perplexity=perplexity, outcomes=outcomes)


def words_normalise(text: str) -> str:
    """Return the words of `text` in lower case, one space between them, marks of punctuation gone."""
    return _NOT_WORDS.sub(" ", unicodedata.normalize("NFC", text).casefold()).strip()


def _ask(engine: Engine, question: Question, max_new_tokens: int) -> QuestionOutcome:
    turns = [Turn(Role.USER, question.prompt)]
    answer = engine.answer(turns, max_new_tokens=max_new_tokens)
    given = f" {words_normalise(answer)} "
    is_match = any(f" {words_normalise(text)} " in given for text in question.accepted)
    logprob = engine.logprob_per_token(turns, question.reference)
    return QuestionOutcome(question.prompt, answer, is_match, logprob)
