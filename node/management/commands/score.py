"""`node score`: how likely the model that this school runs finds an answer, through the engine that answers pupils."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from node.chat.engine_client import engine_ask
from node.chat.engine_events import ChatMessage, EngineOp, EngineRequest
from node.doors import NodeCommand
from node.root import engine_socket_path

TIMEOUT_SECONDS = 300.0


class Command(NodeCommand):
    """Scores."""

    help = "print the mean log-probability per token of an answer, in nats"

    def arguments(self, parser: CommandParser) -> None:
        """Declare question and answer."""
        parser.add_argument("--question", required=True)
        parser.add_argument("--answer", required=True)
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Score and print."""
        request = EngineRequest(
            op=EngineOp.SCORE,
            client="operator",
            messages=(ChatMessage(role="user", text=options["question"]),),
            answer=options["answer"],
        )
        event = engine_ask(socket_path=engine_socket_path(self.root), request=request, timeout_seconds=TIMEOUT_SECONDS)
        answer = {
            "logprob_per_token": event.logprob_per_token,
            "release": event.release,
            "version": event.version,
        }
        self.say(f"{event.logprob_per_token:.4f}", answer, as_json=options["json"])
