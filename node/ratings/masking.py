"""Replace what names a person by a placeholder, before a text may leave the school.

A pure rule on text: e-mail addresses, phone numbers, bank cards, document numbers, and names that the school knows.
It would rather mask a number too many than one too few, but leaves plain numbers of a lesson alone.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass


class PersonalKind(enum.Enum):
    """What was masked; the value is the placeholder, in Tajik because the texts are."""

    EMAIL = "[почтаи электронӣ]"
    CARD = "[рақами корт]"
    PHONE = "[рақами телефон]"
    DOCUMENT = "[рақами ҳуҷҷат]"
    NAME = "[ном]"


@dataclass(frozen=True, slots=True)
class Masked:
    """A text with its placeholders, and what they stand for in the order of the rules."""

    text: str
    found: tuple[tuple[PersonalKind, str], ...]


_SEPARATOR = r"[\s\u00a0.-]?"
_RULES: tuple[tuple[PersonalKind, re.Pattern[str]], ...] = (
    (PersonalKind.EMAIL, re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    (PersonalKind.CARD, re.compile(r"(?<!\d)\d{4}([ -]?)\d{4}\1\d{4}\1\d{4}(?!\d)")),
    # International: a plus and 10 to 14 digits; Tajik numbers begin with +992 and have nine more.
    (PersonalKind.PHONE, re.compile(rf"\+\d(?:{_SEPARATOR}\(?\d\)?){{9,13}}(?!\d)")),
    (PersonalKind.PHONE, re.compile(rf"(?<!\d)(?:00)?992(?:{_SEPARATOR}\(?\d\)?){{9}}(?!\d)")),
    # National, written in groups as people do: 90 123 45 67, (37) 221-12-34, 918-12-34-56.
    (PersonalKind.PHONE, re.compile(r"(?<![\d.,])\(?\d{2,3}\)?[ -]\d{2,3}[ -]\d{2}[ -]\d{2}(?![\d.,]\d|\d)")),
    # Nine digits in one piece with a mobile prefix; a round number such as 900000000 belongs to a lesson.
    (PersonalKind.PHONE, re.compile(r"(?<![\d.,])(?:9[0-9]|50|55|77|88)(?!\d{3}0000)\d{7}(?![\d.,]\d|\d)")),
    # Passports: one or two letters and seven to nine digits; then numbers that are called so by a word before them.
    (PersonalKind.DOCUMENT, re.compile(r"\b[A-ZА-ЯЁҒӢҚӮҲҶ]{1,2}[ №-]{0,3}\d{7,9}\b")),
    (
        PersonalKind.DOCUMENT,
        re.compile(
            r"(?:(?<=шиноснома)|(?<=шиносномаи)|(?<=паспорт)|(?<=РМА)|(?<=РЯМ)|(?<=ИНН)|(?<=INN)|(?<=ҳуҷҷат)|(?<=№))"
            r"[:\s№-]{1,4}\d{6,14}\b|№\d{6,14}\b",
            re.IGNORECASE,
        ),
    ),
)


def text_mask(text: str, *, names: Sequence[str] = ()) -> Masked:
    """Return `text` with every personal mark replaced; `names` are names of people, masked as whole words."""
    found: list[tuple[PersonalKind, str]] = []

    def replace(kind: PersonalKind, pattern: re.Pattern[str], subject: str) -> str:
        def placeholder(match: re.Match[str]) -> str:
            found.append((kind, match[0].strip()))
            lead = match[0][: len(match[0]) - len(match[0].lstrip(" :\n"))]
            return lead + kind.value

        return pattern.sub(placeholder, subject)

    for kind, pattern in _RULES:
        text = replace(kind, pattern, text)
    for name in sorted({name.strip() for name in names if len(name.strip()) > 1}, key=len, reverse=True):
        text = replace(PersonalKind.NAME, re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE), text)
    return Masked(text, tuple(found))
