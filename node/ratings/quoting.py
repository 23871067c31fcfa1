"""Find what an answer has copied from a textbook: the books stay at the school, also inside of what a teacher sends.

Pure. A dozen words in a row that a book has too are a quotation; fewer are how one speaks of a thing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from node.folding import folded

QUOTED_WORDS = 12
_WORD = re.compile(r"[^\W_]+")


def quotes_find(text: str, *, sources: Sequence[str]) -> list[str]:
    """Return the pieces of `text` that are quotations from `sources`, as they stand in it, in order.

    Capitals, punctuation and the letters that a keyboard lacks make no difference.
    """
    words = list(_WORD.finditer(text))
    runs = _runs([folded(word[0]) for word in words], set().union(*(_grams(source) for source in sources)))
    return [text[words[start].start() : words[end].end()] for start, end in runs]


def numbers_drop(text: str, *, numbers: Sequence[int]) -> str:
    """Return `text` without the marks [1] of its sources, which mean nothing where the books are not."""
    return re.sub(rf"[ \u00a0]?\[(?:{'|'.join(map(str, numbers))})\]", "", text) if numbers else text


def _grams(source: str) -> set[tuple[str, ...]]:
    words = [folded(word) for word in _WORD.findall(source)]
    return {tuple(words[start : start + QUOTED_WORDS]) for start in range(len(words) - QUOTED_WORDS + 1)}


def _runs(words: Sequence[str], grams: set[tuple[str, ...]]) -> list[tuple[int, int]]:
    """Return the first and last word of each run that consists of `grams`."""
    runs: list[tuple[int, int]] = []
    for start in range(len(words) - QUOTED_WORDS + 1):
        if tuple(words[start : start + QUOTED_WORDS]) in grams:
            end = start + QUOTED_WORDS - 1
            if runs and start <= runs[-1][1] + 1:
                runs[-1] = (runs[-1][0], end)
            else:
                runs.append((start, end))
    return runs
