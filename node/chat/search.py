"""What a person means who searches in earlier conversations: letters that a keyboard lacks count as those it has."""

from __future__ import annotations

import re

from node.folding import ALIKE

MAX_SEARCH_CHARACTERS = 100
_CLASSES = {letter: f"[{letters}]" for letters in ALIKE for letter in letters}


def search_pattern(text: str) -> str:
    """Return the regular expression, to be read without regard to case, that finds `text`; empty: nothing is sought."""
    words = text.strip()[:MAX_SEARCH_CHARACTERS].lower()
    return "".join(_CLASSES.get(letter, re.escape(letter)) for letter in words)
