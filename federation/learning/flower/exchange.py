"""Questions and answers of a durable client: what is next, whatever was cut before.

Knows neither Flower nor the network. The rules stand in `federation.learning.flower.durable`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from federation.errors import TransportError
from federation.learning.flower.letter import Letter, Sending

_POLL_SECONDS = 2.0


class ExchangeOver(TransportError):
    """The SuperLink wants no answer to this question any more; the centre asks again. Fields: reason."""

    code = "exchange_over"


class Fleet(Protocol):
    """The calls to a SuperLink that an exchange makes. Each may raise ExchangeOver."""

    def question_claim(self) -> bytes | None:
        """Return a question, which the SuperLink gives away once, or None while there is none."""

    def answer_begin(self, question: bytes) -> tuple[Sending, dict[str, bytes]]:
        """Announce the answer to a question; return what the SuperLink lacks of it."""

    def piece_send(self, sending: Sending, name: str, content: bytes) -> bool:
        """Let the SuperLink have a piece; False where it lacks no such piece in this session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Questions and answers over one connection; what was cut before goes first."""

    fleet: Fleet
    letter: Letter
    sleep: Callable[[float], None]

    def step(self) -> None:
        """Do the next thing: send a piece, begin an answer, claim a question, or wait for one."""
        try:
            self._go_on()
        except ExchangeOver:
            self.letter.clear()

    def _go_on(self) -> None:
        if (sending := self.letter.sending()) is not None:
            self._pieces_send(sending)
        elif (question := self.letter.question()) is not None:
            self.letter.sending_keep(*self.fleet.answer_begin(question))
        elif (claimed := self.fleet.question_claim()) is not None:
            self.letter.question_keep(claimed)
        else:
            self.sleep(_POLL_SECONDS)

    def _pieces_send(self, sending: Sending) -> None:
        refused_before = False
        for name in sending.lacking:
            is_taken = self.fleet.piece_send(sending, name, self.letter.piece(name))
            # A cut after a piece was taken and before we knew has it sent again. Two in a row: the session has ended.
            if refused_before and not is_taken:
                raise ExchangeOver(reason="session")
            refused_before = not is_taken
            self.letter.piece_taken(name)
        self.letter.clear()
