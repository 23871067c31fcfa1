"""The question suite's one format: JSON lines of three kinds, read strictly (docs/suites.md).

`choice` has options of which one is right, `free` a short answer in one of some accepted forms, `safety` a prompt
that a pupil might type with phrases that no answer may hold. One bad line refuses the whole file, by its number: a
suite that silently lost questions would still compare releases, only worse. Knows neither engine nor gate.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from federation.inference.errors import SuiteInvalid
from federation.wire.canonical import MalformedDocument, from_plain, sha256_hex

MAX_NAME_CHARACTERS = 64
MIN_CHOICES, MAX_CHOICES = 2, 10
_NOT_WORDS = re.compile(r"[^\w]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceQuestion:
    """A question with options; `answer` is the right one's index, counted from 0."""

    id: str
    subject: str
    language: str
    question: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self) -> None:
        """Refuse a question that has no single right option."""
        _names_check(self.id, self.subject, self.language, self.question, *self.choices)
        if not MIN_CHOICES <= len(self.choices) <= MAX_CHOICES:
            raise ValueError(f"{len(self.choices)} choices, not {MIN_CHOICES} to {MAX_CHOICES}")
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("two choices are the same")
        if not 0 <= self.answer < len(self.choices):
            raise ValueError(f"answer {self.answer} is none of the choices 0 to {len(self.choices) - 1}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeQuestion:
    """A question whose answer must hold one of the `accepted` texts, word for word (see `words_hold`)."""

    id: str
    subject: str
    language: str
    question: str
    accepted: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a question that an echo of itself would answer, or nothing."""
        _names_check(self.id, self.subject, self.language, self.question, *self.accepted)
        if not self.accepted:
            raise ValueError("nothing is accepted")
        for text in self.accepted:
            if words_hold(self.question, text):
                raise ValueError(f"the question itself holds the accepted «{text}»")


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPrompt:
    """What a pupil might type, the phrases that no answer to it may hold, and how often an answer may repeat itself."""

    id: str
    prompt: str
    forbidden: tuple[str, ...]
    max_repeats: int

    def __post_init__(self) -> None:
        """Refuse a prompt that an echo of itself would fail: a small model echoes, which harms nobody."""
        _names_check(self.id, self.prompt, *self.forbidden)
        if self.max_repeats < 1:
            raise ValueError("max_repeats is below 1")
        for phrase in self.forbidden:
            if phrase_begins(self.prompt, phrase):
                raise ValueError(f"the prompt itself holds the forbidden «{phrase}»")


Question: TypeAlias = ChoiceQuestion | FreeQuestion
Line: TypeAlias = ChoiceQuestion | FreeQuestion | SafetyPrompt
KINDS: Mapping[str, type[Line]] = {"choice": ChoiceQuestion, "free": FreeQuestion, "safety": SafetyPrompt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One file of questions and safety prompts; `name` is the file's without `.jsonl`, `sha256` that of its bytes."""

    name: str
    sha256: str
    questions: tuple[Question, ...]
    prompts: tuple[SafetyPrompt, ...]

    def key(self, line: Line) -> str:
        """Return the name of `line` among all suites."""
        return f"{self.name}/{line.id}"


def suite_read(path: Path) -> Suite:
    """Return the suite in the file at `path`, in the file's order; empty lines do not count.

    Raises:
        SuiteInvalid: the file cannot be read or holds nothing (line 0), a line is none of the three kinds, or an id
            comes twice; names file and line.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise SuiteInvalid(path=str(path), line=0, problem=error.strerror) from error
    except UnicodeDecodeError as error:
        raise SuiteInvalid(path=str(path), line=0, problem="not UTF-8") from error
    lines = list(_lines(path, text.splitlines()))
    if not lines:
        raise SuiteInvalid(path=str(path), line=0, problem="no question")
    return Suite(
        name=path.name.removesuffix(".jsonl"),
        sha256=sha256_hex(content),
        questions=tuple(line for line in lines if not isinstance(line, SafetyPrompt)),
        prompts=tuple(line for line in lines if isinstance(line, SafetyPrompt)),
    )


def words_normalise(text: str) -> str:
    """Return the words of `text` in lower case, one space between them, marks of punctuation gone."""
    return _NOT_WORDS.sub(" ", unicodedata.normalize("NFC", text).casefold()).strip()


def words_hold(text: str, wanted: str) -> bool:
    """Tell whether the words of `wanted` stand in `text` side by side, whole."""
    return f" {words_normalise(wanted)} " in f" {words_normalise(text)} "


def phrase_begins(text: str, phrase: str) -> bool:
    """Tell whether `phrase` stands in `text` from the beginning of a word on; its last word may go on.

    Tajik and Russian inflect at the end: «аблаҳ» must also be found in «аблаҳӣ».
    """
    return f" {words_normalise(phrase)}" in f" {words_normalise(text)}"


def _lines(path: Path, texts: Iterable[str]) -> Iterator[Line]:
    seen: set[str] = set()
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        try:
            line = _line(text)
        except ValueError as error:
            raise SuiteInvalid(path=str(path), line=number, problem=str(error)) from error
        if line.id in seen:
            raise SuiteInvalid(path=str(path), line=number, problem=f"the id {line.id} comes twice")
        seen.add(line.id)
        yield line


def _line(text: str) -> Line:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    kind = KINDS.get(str(plain.get("kind"))) if isinstance(plain, dict) else None
    if kind is None:
        raise ValueError(f"kind is none of {', '.join(KINDS)}")
    try:
        return from_plain(kind, plain)
    except MalformedDocument as error:
        raise ValueError(f"{error.fields['field']}: {error.fields['problem']}".removeprefix(": ")) from error


def _names_check(name: str, *texts: str) -> None:
    if not 0 < len(name) <= MAX_NAME_CHARACTERS:
        raise ValueError(f"an id of {len(name)} characters, not 1 to {MAX_NAME_CHARACTERS}")
    for text in texts:
        if not words_normalise(text):
            raise ValueError(f"«{text}» has no word")
