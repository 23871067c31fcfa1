"""When words that are still being written can be laid out: a paragraph once it is complete, the rest as it comes.

Knows no page: it says what is words and what is markup, and the door sends either.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from django.utils.html import escape

from node.chat.markup import answer_html

_GAP = "\n\n"
# Inside these a gap ends nothing.
_FENCES = ("```", "$$")


class ShownKind(enum.Enum):
    """What a reader gets."""

    PIECE = "piece"
    """Words for the end of what is written, escaped."""
    LAID = "laid"
    """All that is written so far, laid out."""


@dataclass(slots=True)
class Laying:
    """An answer on its way to a reader."""

    text: str = ""
    _laid: int = field(default=0, init=False)
    """How many characters the reader has laid out."""

    def take(self, words: str) -> list[tuple[ShownKind, str]]:
        """Return what to show for the next `words`; all pieces together spell the answer."""
        before, self.text = self.text, self.text + words
        end = self.text.rfind(_GAP) + len(_GAP)
        if end < len(_GAP) or end <= max(self._laid, len(before)) or self._is_inside(end):
            return [(ShownKind.PIECE, escape(words))]
        self._laid = end
        head, tail = self.text[len(before) : end], self.text[end:]
        shown = [(ShownKind.PIECE, escape(head)), (ShownKind.LAID, str(answer_html(self.text[:end])))]
        return [*shown, (ShownKind.PIECE, escape(tail))] if tail else shown

    def _is_inside(self, end: int) -> bool:
        return any(self.text.count(fence, 0, end) % 2 for fence in _FENCES)
