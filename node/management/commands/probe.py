"""`node probe`: how this school's model answers a list of questions, and how likely the references are to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from federation.wire.canonical import parse
from node.chat.engine_client import engine_ask
from node.chat.engine_events import ChatMessage, EngineOp, EngineRequest
from node.doors import NodeCommand
from node.root import engine_socket_path

TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One line of the file."""

    question: str
    reference: str


class Command(NodeCommand):
    """Probes."""

    help = "answer each question of a JSON lines file ({question, reference}) and score its reference answer"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the file."""
        parser.add_argument("--file", type=Path, required=True)
        parser.add_argument("--max-tokens", type=int, default=64)
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Print one outcome a question."""
        lines = options["file"].read_bytes().splitlines()
        outcomes = [_outcome(self.root, parse(Probe, line), options["max_tokens"]) for line in lines if line.strip()]
        words = "\n".join(
            f"{each['logprob_per_token']:8.3f}  {each['question']}  {each['answer']}" for each in outcomes
        )
        self.say(words, {"outcomes": outcomes}, as_json=options["json"])


def _outcome(root: Path, probe: Probe, max_tokens: int) -> dict[str, object]:
    socket_path = engine_socket_path(root)
    asked = (ChatMessage(role="user", text=probe.question),)
    given = EngineRequest(op=EngineOp.GENERATE, client="operator", messages=asked, max_tokens=max_tokens)
    scored = EngineRequest(op=EngineOp.SCORE, client="operator", messages=asked, answer=probe.reference)
    answer = engine_ask(socket_path=socket_path, request=given, timeout_seconds=TIMEOUT_SECONDS)
    score = engine_ask(socket_path=socket_path, request=scored, timeout_seconds=TIMEOUT_SECONDS)
    return {
        **asdict(probe),
        "answer": answer.text,
        "logprob_per_token": score.logprob_per_token,
        "release": score.release,
        "version": score.version,
    }
