"""The words of an answer as its tokens come: whole characters only, and nothing from a stop text on."""

from __future__ import annotations

from collections.abc import Sequence

from federation.inference.prompt import ChatTokenizer

_REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER_TOKENS = 4


class AnswerText:
    """Spells one answer; `is_stopped` once a stop text has come."""

    def __init__(self, tokenizer: ChatTokenizer, *, stops: Sequence[str] = ()) -> None:
        """Begin with no words."""
        self._tokenizer = tokenizer
        self._stops = tuple(stop for stop in stops if stop)
        self._tokens: list[int] = []
        self._held = ""
        self.is_stopped = False

    def take(self, token: int) -> str:
        """Return the words that are certain now that `token` has come; they may be none."""
        self._tokens.append(token)
        text = self._tokenizer.text(self._tokens)
        if text.endswith(_REPLACEMENT) and len(self._tokens) < _LONGEST_CHARACTER_TOKENS:
            return ""
        self._tokens.clear()
        return self._until_stop(self._held + text)

    def finish(self) -> str:
        """Return the words that were held back; no more tokens come."""
        rest = self._tokenizer.text(self._tokens) if self._tokens else ""
        self._tokens.clear()
        words = self._until_stop(self._held + rest)
        held, self._held = self._held, ""
        return words + held

    def _until_stop(self, text: str) -> str:
        """Return `text` up to a stop text, and hold back an ending that may become one."""
        found = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if found:
            self.is_stopped, self._held = True, ""
            return text[: min(found)]
        beginnings = (stop[:length] for stop in self._stops for length in range(1, len(stop)))
        longest = max((len(start) for start in beginnings if text.endswith(start)), default=0)
        cut = len(text) - longest
        self._held = text[cut:]
        return text[:cut]
