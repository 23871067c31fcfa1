"""Cut a book's pages into passages of some 60 to 150 words, at the ends of paragraphs and sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from node.textbooks.pages import Page

ENOUGH_WORDS = 60
"""A passage of so many words may end with its paragraph."""
PLENTY_WORDS = 110
"""One of so many ends with its sentence."""
MOST_WORDS = 150
_FEW_WORDS = 15
"""What is left over at the end of a section, and shorter, stays with the passage before."""
MOST_HEADING_CHARACTERS = 200
_SENTENCE = re.compile(r"(?<=[.!?…])[»”\")]?\s+(?=[«“\"(–—-]?\s?[A-ZА-ЯЁҒӢҚӮҲҶ0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A passage: the page on which it begins, the heading above it, and its words in one line."""

    page: int
    heading: str
    text: str


def sentences_of(text: str) -> list[str]:
    """Return the sentences of `text`; together they have all its words."""
    starts = [0, *(found.end() for found in _SENTENCE.finditer(text)), len(text)]
    return [text[start:end].strip() for start, end in pairwise(starts) if text[start:end].strip()]


def passages_cut(pages: Iterable[Page]) -> list[Cut]:
    """Return the passages of a book in its order; every word of its paragraphs is in exactly one of them."""
    cutter = _Cutter()
    for page in pages:
        for block in page.blocks:
            if block.is_heading:
                cutter.section(block.text)
            else:
                cutter.paragraph(block.text, page.number)
    return cutter.finish()


@dataclass(slots=True)
class _Cutter:
    cuts: list[Cut] = field(default_factory=list)
    heading: str = ""
    words: list[str] = field(default_factory=list)
    page: int = 0
    is_first: bool = True
    """Whether the passage would be the first of its section."""

    def section(self, heading: str) -> None:
        """Begin anew below `heading`; one right below another belongs to it."""
        if not self.words and self.is_first and self.heading:
            heading = f"{self.heading}. {heading}"
        self.close(is_last=True)
        self.heading, self.is_first = heading[:MOST_HEADING_CHARACTERS], True

    def paragraph(self, text: str, page: int) -> None:
        for words in _pieces(text):
            if len(self.words) + len(words) > MOST_WORDS:
                self.close()
            self.page = self.page if self.words else page
            self.words += words
            if len(self.words) >= PLENTY_WORDS:
                self.close()
        if len(self.words) >= ENOUGH_WORDS:
            self.close()

    def close(self, *, is_last: bool = False) -> None:
        if not self.words:
            return
        text = " ".join(self.words)
        if is_last and len(self.words) < _FEW_WORDS and not self.is_first:
            before = self.cuts.pop()
            self.cuts.append(Cut(page=before.page, heading=before.heading, text=f"{before.text} {text}"))
        else:
            self.cuts.append(Cut(page=self.page, heading=self.heading, text=text))
        self.words, self.is_first = [], False

    def finish(self) -> list[Cut]:
        self.close(is_last=True)
        return self.cuts


def _pieces(text: str) -> Iterator[list[str]]:
    """Yield the sentences of a paragraph as words; one that is longer than any passage in parts."""
    for sentence in sentences_of(text):
        words = sentence.split()
        for start in range(0, len(words), MOST_WORDS):
            yield words[start : start + MOST_WORDS]
