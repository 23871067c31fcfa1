"""Which passages answer a question: bm25 orders them, the lesson's subject and grade move them up, and a bar keeps out.

The bar is on how much of the question a passage covers, each word weighed by how rare it is in the school's books, so
that it means the same for one book and for fifty. Where it lies was learnt from questions that passages answer and
others that none does (decision 0096); a book that is not about the question costs a weak PC reading and a pupil trust.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.textbooks.indexing import Indexed, stem_counts, words_match
from node.textbooks.models import Passage
from node.textbooks.stems import asked_stems, is_among

ENOUGH_COVERED = 0.5
SAME_SUBJECT, SAME_GRADE = 1.3, 1.2
MOST_ASKED_STEMS = 40
"""Of a question of 4,000 characters; the rest changes nothing and costs time."""
MOST_IN_A_PROMPT = 2
_SECOND_BEST = 0.6
"""A second passage is worth reading if it is at least so relevant beside the best."""
_CANDIDATES = 30
_IN_HEADING = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A passage, and how it fits a question."""

    passage: Passage
    relevance: float
    covered: float
    """The share of the question's weight that it has; up to 1.5 where it stands in the heading."""

    @property
    def is_enough(self) -> bool:
        """Whether an answer may be drawn from it."""
        return self.covered >= ENOUGH_COVERED


def passages_search(*, text: str, subject: str = "", grade: int = 0, most: int) -> list[Found]:
    """Return the passages that fit `text` best, good enough or not, the best first."""
    stems = asked_stems(text)[:MOST_ASKED_STEMS]
    count = Passage.objects.count() if stems else 0
    if not count:
        return []
    matched = words_match(stems, most=_CANDIDATES)
    passages = Passage.objects.select_related("textbook").in_bulk([each.passage_id for each in matched])
    weights = _weights(stems, count)
    found = [
        Found(
            passage=passages[each.passage_id],
            relevance=each.relevance * _preference(passages[each.passage_id], subject, grade),
            covered=_covered(each, weights),
        )
        for each in matched
    ]
    return sorted(found, key=lambda each: -each.relevance)[:most]


def passages_find(*, question: str, subject: str, grade: int) -> list[Passage]:
    """Return the one or two passages from which `question` can be answered; none where no book speaks of it."""
    found = passages_search(text=question, subject=subject, grade=grade, most=MOST_IN_A_PROMPT)
    return [each.passage for each in found if each.is_enough and each.relevance >= found[0].relevance * _SECOND_BEST]


def _weights(stems: Sequence[str], count: int) -> dict[str, float]:
    # A word that no book has weighs as much as one that a single passage has, or it alone would decide in a small book.
    counts = {stem: min(count, max(1, found)) for stem, found in stem_counts(stems).items()}
    return {stem: math.log(1 + (count - n + 0.5) / (n + 0.5)) for stem, n in counts.items()}


def _covered(each: Indexed, weights: Mapping[str, float]) -> float:
    had = sum(
        weight * (_IN_HEADING if is_among(stem, each.heading_stems) else 1)
        for stem, weight in weights.items()
        if is_among(stem, each.heading_stems) or is_among(stem, each.text_stems)
    )
    return had / sum(weights.values())


def _preference(passage: Passage, subject: str, grade: int) -> float:
    book = passage.textbook
    liked = SAME_SUBJECT if subject and book.subject == subject else 1.0
    return liked * (SAME_GRADE if grade and book.grade == grade else 1.0)
