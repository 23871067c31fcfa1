"""`node ask`: one question to the model that this school runs, through the engine that answers pupils."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from node.chat.engine_client import engine_ask
from node.chat.engine_events import ChatMessage, EngineOp, EngineRequest
from node.doors import NodeCommand
from node.root import engine_socket_path

TIMEOUT_SECONDS = 300.0


class Command(NodeCommand):
    """Asks."""

    help = "ask the model one question"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the question."""
        parser.add_argument("--question", required=True)
        parser.add_argument("--max-tokens", type=int, default=256)
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Ask and print the answer."""
        request = EngineRequest(
            op=EngineOp.GENERATE,
            client="operator",
            generation="operator",
            messages=(ChatMessage(role="user", text=options["question"]),),
            max_tokens=options["max_tokens"],
        )
        event = engine_ask(socket_path=engine_socket_path(self.root), request=request, timeout_seconds=TIMEOUT_SECONDS)
        answer = {"answer": event.text, "release": event.release, "version": event.version}
        self.say(event.text, answer, as_json=options["json"])
