"""Which letters count as one where people look for words: those that a Russian keyboard lacks, and those it has."""

from __future__ import annotations

# Many type the nearest letter that they have; both are found by either.
ALIKE = ("гғ", "иӣ", "кқ", "уӯ", "хҳ", "чҷ", "её")
_FOLDS = str.maketrans({pair[1]: pair[0] for pair in ALIKE})


def folded(text: str) -> str:
    """Return `text` without capitals, each letter as the first of those that count as one."""
    return text.lower().translate(_FOLDS)
