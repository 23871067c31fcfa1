"""Replace what names a person by a placeholder, before a text may leave the school.

A pure rule on text: e-mail addresses, phone numbers, bank cards, document numbers, names that the school knows, and
what the teacher points at, both with the endings that Tajik and Russian give them. It would rather mask a number too
many than one too few, but leaves plain numbers of a lesson alone.
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
    WORD = "[пинҳон]"
    BOOK = "[аз китоб]"


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


_ENDING = r"(?:ҷон)?(?:ро|и|у|ю|ам|ат|аш|ям|ят|яш|ҳо|ҳоро|а|е|ем|ой|ом|ым|ӯ)?"
_SHORTEST_WITH_ENDING = 3
"""Shorter names, such as «Ой», would swallow too many words of a lesson."""


def text_mask(text: str, *, names: Sequence[str] = (), words: Sequence[str] = (), quotes: Sequence[str] = ()) -> Masked:
    """Return `text` with every personal mark replaced, and the `quotes`, pieces of it that a textbook owns.

    `names` are names of people, and `words` what a teacher wants hidden: whole words, of which an ending may stay.
    """
    found: list[tuple[PersonalKind, str]] = []

    def replace(kind: PersonalKind, pattern: re.Pattern[str], subject: str) -> str:
        def placeholder(match: re.Match[str]) -> str:
            found.append((kind, match[0].strip()))
            lead = match[0][: len(match[0]) - len(match[0].lstrip(" :\n"))]
            return lead + kind.value

        return pattern.sub(placeholder, subject)

    def replace_all(kind: PersonalKind, marks: Sequence[str], subject: str) -> str:
        parts = _parts(subject, marks)
        return replace(kind, re.compile(rf"(?<!\w)(?:{'|'.join(parts)})", re.IGNORECASE), subject) if parts else subject

    for quote in quotes:
        text = replace(PersonalKind.BOOK, re.compile(re.escape(quote)), text)
    text = replace_all(PersonalKind.WORD, words, text)
    for kind, pattern in _RULES:
        text = replace(kind, pattern, text)
    return Masked(replace_all(PersonalKind.NAME, names, text), tuple(found))


def _parts(text: str, marks: Sequence[str]) -> list[str]:
    lowered = " ".join(text.lower().split())
    distinct = {" ".join(mark.split()) for mark in marks}
    # A school knows thousands of names, and a pattern of them all takes a second to build.
    present = [mark for mark in distinct if len(mark) > 1 and mark[:-1].lower() in lowered]
    # The longest first, so that a name within another one leaves no rest of it.
    return [_forms(mark) for mark in sorted(present, key=len, reverse=True)]


def _spaced(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in text.split())


def _forms(name: str) -> str:
    if len(name) < _SHORTEST_WITH_ENDING:
        return rf"{_spaced(name)}(?!\w)"
    # The ending stays outside the match, so that the sentence still reads well.
    forms = rf"{_spaced(name)}(?={_ENDING}(?!\w))"
    if name[-1] in "аяАЯ":
        forms += rf"|{_spaced(name[:-1])}(?:ы|и|у|ю|е|ой|ей)(?!\w)"
    return forms
