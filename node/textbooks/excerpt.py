"""Which sentences of a passage a weak PC reads before it answers: those that speak most of what was asked. Pure."""

from __future__ import annotations

from collections.abc import Collection

from node.textbooks.cutting import sentences_of
from node.textbooks.stems import is_among, stems_of


def excerpt_take(text: str, *, asked: Collection[str], most_characters: int) -> str:
    """Return the sentences in a row that hold most of the stems `asked`, the earliest and longest such run.

    A sentence that is too long alone is cut at a word.
    """
    sentences = sentences_of(text)
    best, best_worth = "", (-1, 0)
    for start in range(len(sentences)):
        run = ""
        for sentence in sentences[start:]:
            longer = f"{run} {sentence}".strip()
            if len(longer) > most_characters:
                break
            run = longer
        run = run or _cut(sentences[start], most_characters)
        worth = (_spoken_of(asked, run), len(run))
        if worth[0] > best_worth[0] or (worth[0] == best_worth[0] and worth[1] > best_worth[1] * 2):
            best, best_worth = run, worth
    return best


def _spoken_of(asked: Collection[str], text: str) -> int:
    stems = set(stems_of(text))
    return sum(is_among(stem, stems) for stem in asked)


def _cut(sentence: str, most_characters: int) -> str:
    return sentence[: most_characters - 1].rsplit(" ", 1)[0] + "…"
