r"""Turn a question and its answer into the token ids that a Gemma 3 chat model learns from.

The same turns as in serving, `<bos><start_of_turn>user\n…<end_of_turn>\n<start_of_turn>model\n`, then the answer and
its `<end_of_turn>`. Only the answer and that last token are learnt. Words of people are encoded so that no control
token can come out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from federation.errors import CapacityError
from federation.tokenizer_file import control_tokens, tokenizer_open
from federation.wire.rounds import Example


class TokenizerUnusable(CapacityError):
    """The package's tokenizer is missing, damaged or not Gemma's."""

    code = "tokenizer_unusable"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Token ids of one question and answer, or of a passage; those from `answer_start` on are learnt."""

    ids: tuple[int, ...]
    answer_start: int


class ConversationTokenizer:
    """Encodes conversations with the tokenizer of the package that serves them."""

    def __init__(self, path: Path) -> None:
        """Read `path`, a tokenizer.json, plain or as a package holds it.

        Raises:
            TokenizerUnusable: it cannot be read, or lacks one of Gemma's control tokens.
        """
        try:
            self._tokenizer = tokenizer_open(path)
            self._control = control_tokens(self._tokenizer)
        except ValueError as error:
            raise TokenizerUnusable(path=str(path), problem=str(error)) from error

    def conversation(self, example: Example, *, max_tokens: int) -> Conversation:
        """Return `example` as token ids, the answer cut so that all are at most `max_tokens`."""
        ids = self.question(example.prompt)
        answer = [*self.words(example.answer.strip()), self._control.turn_end]
        return Conversation(tuple((ids + answer)[:max_tokens]), len(ids))

    def passage(self, text: str, *, max_tokens: int) -> Conversation:
        """Return `text`, outside of any turn, as token ids of which all but the first are learnt."""
        return Conversation((self._control.bos, *self.words(text.strip()))[:max_tokens], 1)

    def question(self, prompt: str) -> list[int]:
        """Return the ids up to where the model's answer begins."""
        return [
            self._control.bos,
            self._control.turn_start,
            *self.words(f"user\n{prompt.strip()}"),
            self._control.turn_end,
            *self.words("\n"),
            self._control.turn_start,
            *self.words("model\n"),
        ]

    def words(self, text: str) -> list[int]:
        """Return the ids of plain text."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
