"""The label set of the learning benchmark: what teachers in Tajik schools would rate and correct, and how it is split.

README.md beside it says how it was made and what each part of the split is to show. Nothing here knows a model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from pathlib import Path

LABELS = Path(__file__).parent / "labels.jsonl"
UNTAUGHT_A_SUBJECT = 2
NEAR_DUPLICATE = 0.5
"""Questions about two facts share no more than this of their telling words."""

# What questions are made of whatever they ask; two that share nothing else are not alike.
_FRAME = frozenset(
    re.findall(
        r"\w+",
        "аз ам аст ба баробар барои бо бошад ва вазифа дар дорад доранд ё ин истифода кадом кадомҳоянд карда кист кор "
        "куҷо кунед лозим мебошад меноманд мекунад мекунанд мешавад ном он ро то хел худ ҳаст чанд чиро чист чӣ гуна "
        "тавр",
    )
)


class Split(StrEnum):
    """What a label is for."""

    TRAINED = "trained"
    """Some school's own."""
    REWORDED = "reworded"
    """Held out: asks for a fact that some school teaches, in other words."""
    UNTAUGHT = "untaught"
    """Held out: a fact that no school teaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One line of the file: a question, the answer a small model gave, and what a teacher made of it."""

    id: str
    fact: str
    subject: str
    grade: int
    question: str
    answer: str
    stars: int
    correction: str
    """Empty where the teacher only rated."""


def labels_read(path: Path = LABELS) -> tuple[Label, ...]:
    """Return all labels in the file's order."""
    return tuple(Label(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


def labels_split(labels: Sequence[Label]) -> dict[Split, tuple[Label, ...]]:
    """Return the labels by what they are for; it hangs on the questions' bytes alone, not on their order.

    Of each fact with two wordings the one with the lower digest is held out, and of each subject's corrected facts with
    one wording the `UNTAUGHT_A_SUBJECT` with the lowest.
    """
    held: dict[str, Split] = {}
    for wordings in _grouped(labels, "fact").values():
        if len(wordings) > 1:
            held[min(wordings, key=_digest).id] = Split.REWORDED
    alone = [each for wordings in _grouped(labels, "fact").values() if len(wordings) == 1 for each in wordings]
    for facts in _grouped([each for each in alone if each.correction], "subject").values():
        held |= {each.id: Split.UNTAUGHT for each in sorted(facts, key=_digest)[:UNTAUGHT_A_SUBJECT]}
    return {split: tuple(each for each in labels if held.get(each.id, Split.TRAINED) is split) for split in Split}


def near_duplicates(labels: Sequence[Label]) -> Iterator[tuple[Label, Label]]:
    """Yield the pairs about two facts whose questions, or whose corrections, say nearly the same."""
    for one, other in combinations(labels, 2):
        if one.fact == other.fact:
            continue
        asked = overlap(one.question, other.question)
        told = overlap(one.correction, other.correction)
        if max(asked, told) > NEAR_DUPLICATE:
            yield one, other


def overlap(one: str, other: str) -> float:
    """Return the share of telling words that two texts have in common, 0 to 1.

    Source: Jaccard 1901.
    """
    first, second = words(one) - _FRAME, words(other) - _FRAME
    return len(first & second) / len(first | second) if first and second else 0.0


def words(text: str) -> frozenset[str]:
    """Return the words and numbers of a text in small letters."""
    return frozenset(re.findall(r"\w+", text.lower()))


def _grouped(labels: Sequence[Label], field: str) -> dict[str, list[Label]]:
    groups: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        groups[getattr(label, field)].append(label)
    return groups


def _digest(label: Label) -> str:
    return hashlib.sha256(label.question.encode()).hexdigest()
