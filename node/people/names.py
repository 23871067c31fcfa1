"""How classes and people are named, digits are drawn and pictures are shared out. Pure; `draw` is the chance."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

CODE_DIGITS, PIN_DIGITS = 8, 4
MAX_CLASS_NAME, MAX_PERSON_NAME, MAX_GRADE = 20, 60, 11
SHAPES = (
    "sun", "moon", "star", "tree", "apple", "fish", "house", "boat", "flower", "mountain", "cloud", "kite",
)  # fmt: skip
TINTS = 3
PICTURES = tuple(f"{shape}-{tint}" for tint in range(1, TINTS + 1) for shape in SHAPES)
# «6A» typed on a Latin keyboard looks like «6А» and would be a class of its own.
_LOOKALIKES = str.maketrans("ABCEHKMOPTX", "АВСЕНКМОРТХ")


def class_name_read(text: str) -> str:
    """Return the one spelling of a class's name: capitals, single spaces, Cyrillic where Latin letters look alike."""
    name = " ".join(text.split()).upper()
    return name.translate(_LOOKALIKES) if re.fullmatch(r"\d{1,2}\W?[A-ZА-ЯҒӢҚӮҲҶ]", name) else name


def grade_of(class_name: str) -> int:
    """Return the grade that a class's name begins with; 0 where it begins with none."""
    found = re.match(r"\d{1,2}(?!\d)", class_name)
    return int(found[0]) if found and 1 <= int(found[0]) <= MAX_GRADE else 0


def person_name_read(text: str) -> str:
    """Return a person's name with single spaces."""
    return " ".join(text.split())


def digits_read(text: str) -> str:
    """Return the digits of a code or PIN as somebody typed it."""
    return "".join(sign for sign in text if sign in "0123456789")


def digits_draw(count: int, *, draw: Callable[[int], int]) -> str:
    """Return `count` digits; `draw(n)` returns a number below n. Digits, because every keyboard has the same."""
    return "".join(str(draw(10)) for _ in range(count))


def picture_choose(taken: Sequence[str]) -> str:
    """Return the picture that the fewest of a class have; `taken` is what its pupils have."""
    counts = Counter(taken)
    return min(PICTURES, key=lambda picture: counts[picture])
