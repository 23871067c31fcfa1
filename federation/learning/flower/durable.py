"""A Flower client that lives through power cuts: one small process in the place of SuperNode, SuperExec and ClientApp.

It stands on Flower's own connection to a SuperLink and answers with the same app as the stock SuperNode
(`federation.learning.flower.client`). Rules, in order:
1. Nothing that the server sends is run: no bundle is fetched at all.
2. What a SuperLink tells once is on the disk (`letter`) before it is relied on; whoever starts next goes on from there.
3. A client that was killed takes leave for its predecessor first, so that it is not refused for a minute.
4. A question whose run is over, or a session that ended, is let go: the centre asks again, the update stays here.
The connection is not a public interface of Flower: the version is pinned and a test with a real SuperLink covers it.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from federation.errors import TransportError
from federation.learning.flower.letter import Letter, Sending
from federation.learning.flower.processes import flower_env
from federation.learning.flower.supernode import end_with_parent

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

    def piece_send(self, sending: Sending, name: str, content: bytes) -> None:
        """Let the SuperLink have a piece."""


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
        for name in sending.lacking:
            self.fleet.piece_send(sending, name, self.letter.piece(name))
            self.letter.piece_taken(name)
        self.letter.clear()


def main() -> None:
    """Serve one contact until it is interrupted or refused; exits with status 1 if it is refused."""
    arguments = _arguments()
    arguments.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.environ.update(flower_env(home=arguments.home.absolute()))
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    # Imported only now, because Flower reads its environment while it is being imported.
    from federation.learning.flower.fleet import fleet_open  # noqa: PLC0415

    try:
        with fleet_open(
            superlink=arguments.superlink,
            authority=arguments.root_certificates,
            node_key=arguments.node_key,
            outbox=arguments.outbox,
            home=arguments.home,
        ) as fleet:
            sys.stderr.write(f"SuperNode ID: {fleet.node_id}\n")
            exchange = Exchange(fleet=fleet, letter=Letter(arguments.home / "letter"), sleep=time.sleep)
            while True:
                exchange.step()
    except KeyboardInterrupt:
        sys.stderr.write("terminated gracefully\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--superlink", required=True, help="host:port of the SuperLink's Fleet API")
    parser.add_argument("--root-certificates", required=True, type=Path)
    parser.add_argument("--node-key", required=True, type=Path, help="the node's P-384 key, PKCS8 PEM")
    parser.add_argument("--outbox", required=True, type=Path, help="folder of finished updates")
    parser.add_argument("--home", required=True, type=Path, help="folder for what this client has in hand")
    return parser.parse_args()


if __name__ == "__main__":
    main()
