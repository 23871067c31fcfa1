"""Gemma's chat turns as token ids, and token ids as words again.

There is no system role: a system text opens the first user turn. What people wrote is encoded so that no control token
comes out of it, whatever they typed.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from federation.inference.errors import PackageCardInvalid, PromptTooLong
from federation.tokenizer_file import control_tokens, tokenizer_open


class Role(enum.Enum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one of them said."""

    role: Role
    text: str


class ChatTokenizer:
    """Encodes turns and decodes answers with a tokenizer.json, plain or as a package holds it."""

    def __init__(self, path: Path) -> None:
        """Read the tokenizer at `path`.

        Raises:
            PackageCardInvalid: it cannot be read or lacks one of Gemma's control tokens.
        """
        try:
            self._tokenizer = tokenizer_open(path)
            control = control_tokens(self._tokenizer)
        except ValueError as error:
            raise PackageCardInvalid(path=str(path), problem=str(error)) from error
        self.bos, self.turn_start, self.turn_end = control.bos, control.turn_start, control.turn_end
        self.answer_ends = frozenset({control.turn_end, control.eos})

    def prompt(self, turns: Sequence[Turn], *, allowed_tokens: int) -> list[int]:
        """Return the ids up to where the model's answer begins; the oldest turns go when more than `allowed_tokens`.

        The system text and the last turn always stay.

        Raises:
            PromptTooLong: even these do not fit.
        """
        system = "\n\n".join(turn.text.strip() for turn in turns if turn.role is Role.SYSTEM)
        spoken = [turn for turn in turns if turn.role is not Role.SYSTEM]
        opening = f"{system}\n\n" if system else ""
        closing = [self.turn_start, *self.words(f"{Role.MODEL.value}\n")]
        longest: list[int] = []
        behind = closing
        # From the end, so that what does not fit is never encoded: a program may send ten thousand turns.
        for turn in reversed(spoken):
            if turn.role is Role.USER:
                ids = [self.bos, *self._turn(turn, opening), *behind]
                if len(ids) > allowed_tokens:
                    break
                longest = ids
            behind = [*self._turn(turn), *behind]
            if len(behind) > allowed_tokens:
                break
        if longest:
            return longest
        last = [token for turn in spoken[-1:] for token in self._turn(turn, opening)]
        raise PromptTooLong(tokens=1 + len(last) + len(closing), allowed=allowed_tokens)

    def answer(self, text: str) -> list[int]:
        """Return the ids of a model's answer with the token that closes it."""
        return [*self.words(text.strip()), self.turn_end]

    def words(self, text: str) -> list[int]:
        """Return the ids of `text` alone, never a control token among them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, ids: Sequence[int]) -> str:
        """Return the words that `ids` spell, control tokens left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _turn(self, turn: Turn, opening: str = "") -> list[int]:
        words = self.words(f"{turn.role.value}\n{opening}{turn.text.strip()}")
        return [self.turn_start, *words, self.turn_end, *self.words("\n")]
