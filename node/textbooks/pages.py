"""A file's text as its pages give it: blocks of words, each a heading or a paragraph. Pure; knows no file format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

_HEADING_CHARACTERS = 90
_HEADING = re.compile(
    r"(?:§|(?:Боби?|Фасли?|Мавзӯи?|Дарси?|Глава|Тема|Урок|Chapter|Lesson)\s+\w+\b|\d{1,2}(?:\.\d{1,2})*\.?\s+[А-ЯЁҒӢҚӮҲҶA-Z])"
)
_SENTENCE_END = re.compile(r"[.!?…:;,»”)]$")
_PAGE_NUMBER = re.compile(r"[-–— ]*\d{1,4}[-–— ]*")
_LEAST_REPEATED = 4


@dataclass(frozen=True, slots=True)
class Block:
    """A heading or a paragraph, in one line."""

    text: str
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What stands on one page; `number` counts from 1, and is 0 where the file knows no pages."""

    number: int
    blocks: tuple[Block, ...]


def blocks_of(lines: Sequence[str]) -> tuple[Block, ...]:
    """Return the blocks that lines of print make: an empty line ends a paragraph, a hyphen at an end joins a word."""
    blocks: list[Block] = []
    words = ""
    for line in (*(" ".join(line.split()) for line in lines), ""):
        is_heading = _is_heading(line) and not words.endswith(("-", ","))
        if words and (not line or is_heading):
            blocks.append(Block(words))
            words = ""
        if is_heading:
            blocks.append(Block(line, is_heading=True))
        elif line:
            words = _joined(words, line)
    return tuple(blocks)


def running_lines(pages: Sequence[Sequence[str]]) -> frozenset[str]:
    """Return the first and last lines that a third of the pages share: a book's title, and not its text."""
    edges = Counter(line.strip() for lines in pages if lines for line in {lines[0], lines[-1]} if line.strip())
    return frozenset(line for line, count in edges.items() if count >= max(_LEAST_REPEATED, len(pages) // 3))


def is_page_number(line: str) -> bool:
    """Return whether the line is a page's number and nothing else."""
    return _PAGE_NUMBER.fullmatch(line.strip()) is not None


def _is_heading(line: str) -> bool:
    if not line or len(line) > _HEADING_CHARACTERS or _SENTENCE_END.search(line):
        return False
    letters = [letter for letter in line if letter.isalpha()]
    return bool(_HEADING.match(line)) or (len(letters) > 3 and all(letter.isupper() for letter in letters))  # noqa: PLR2004 - more than an abbreviation


def _joined(words: str, line: str) -> str:
    if words.endswith(("-", "\u00ad")) and len(words) > 1 and words[-2].isalpha() and line[0].islower():
        return words[:-1] + line
    return f"{words} {line}" if words else line
