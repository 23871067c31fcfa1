"""What a class asks about: words that several pupils used. Pure; it counts questions, and compares no pupils.

A word counts once a question, under one form for its Tajik endings; a word that fewer than three pupils used is not
shown, so that nobody's own worry is on a teacher's screen.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FEWEST_PUPILS = 3
FEWEST_LETTERS = 4
_ENDING = re.compile(r"(?:ҳоямон|ҳоро|ҳои|ҳо|ро|и)$")
# Words of asking, in the three languages of the page.
_EMPTY = frozenset(
    (  # noqa: SIM905 - ninety strings in a column would say the same
        "чист кист ҳаст нест кадом чаро барои куҷо куҷост чанд чандто тавр гуна гуфта бошад мебошад мекунад мекунанд "
        "мешавад мешаванд кунед диҳед гӯед нависед фаҳмонед ҳисоб бигӯед лутфан ҳамин онҳо бори бораи дорад доранд "
        "буданд байни аввал хонанда хонандаи синфи мисол мисоле маънои маъно чизе "
        "такое какой какая какие какое почему зачем когда объясни объясните расскажи напиши напишите реши решите чего "
        "между если нужно можно "
        "what which when where does have this that with from about explain write tell please between"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A word and in how many questions it was used."""

    word: str
    questions: int


def topics_count(asked: Iterable[tuple[int, str]], *, most: int = 20) -> Sequence[Topic]:
    """Return the words that most questions use, the commonest first; `asked` is a pupil's number and a question."""
    pupils: dict[str, set[int]] = defaultdict(set)
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    questions: Counter[str] = Counter()
    for pupil, question in asked:
        words = {word for word in re.findall(r"[^\W\d_]+", question.casefold()) if _is_telling(word)}
        for word in words:
            forms[_stem(word)][word] += 1
        for stem in {_stem(word) for word in words}:
            questions[stem] += 1
            pupils[stem].add(pupil)
    told = [stem for stem in questions if len(pupils[stem]) >= FEWEST_PUPILS]
    told.sort(key=lambda stem: (-questions[stem], stem))
    return [Topic(_commonest(forms[stem]), questions[stem]) for stem in told[:most]]


def _commonest(forms: Counter[str]) -> str:
    return min(forms, key=lambda word: (-forms[word], len(word), word))


def _is_telling(word: str) -> bool:
    return len(word) >= FEWEST_LETTERS and word not in _EMPTY


def _stem(word: str) -> str:
    short = _ENDING.sub("", word)
    return short if len(short) >= FEWEST_LETTERS else word
