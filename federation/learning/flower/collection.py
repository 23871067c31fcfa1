"""The round's loop: ask nodes that are online, read what they hand over, stop for a reason that is written down.

Buffered and bounded, over Flower's Grid. Rules, in order:
1. A push or a pull touches a node only while its `online_until` lies more than `margin_seconds` ahead. A pull for an
   absent node makes the SuperLink delete the question and the stored answer.
2. One message id a pull, each in its own thread: a slow upload blocks its own pull and no other.
3. A question is forgotten, and asked again, only after a pull that came back empty while the node was online for
   `lease_seconds`: SuperNodes receive at most once, and one that was killed never sees its question again.
4. Whatever is in the inbox counts, so a restarted run goes on where the last one was cut off.
An answer that is lost on the way costs one more transfer: the school keeps its update until the centre's receipt.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from flwr.app import Message
from flwr.proto.node_pb2 import NodeInfo

from federation.learning.flower.inbox import RoundInbox, node_name_safe
from federation.learning.flower.messages import AnswerRefused, answer_read, question_make

_log = logging.getLogger(__name__)


class Ended(StrEnum):
    """Why a run ended."""

    WANTED = "wanted"
    DEADLINE = "deadline"
    CLOSED = "closed"


class Mailbox(Protocol):
    """The three calls of Flower's Grid that the loop makes."""

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return the nodes that are online now."""

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Return one message id a message, empty for a message that was rejected."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that have arrived, each once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one run is to collect, and its clockwork (seconds)."""

    season_id: str
    round_id: str
    wanted: int
    duration_seconds: float
    max_update_bytes: int
    margin_seconds: float = 15.0
    lease_seconds: float = 30.0
    ask_again_seconds: float = 30.0
    tick_seconds: float = 0.25
    pulls_per_second: float = 40.0
    """Ceiling on all pulls together; a SuperLink answers about 125 requests a second in all."""


@dataclass(slots=True, kw_only=True)
class _Question:
    """A question under way to a node; `since` is when the node was last seen to come online, or was asked."""

    node_id: int
    name: str
    since: float
    next_pull: float
    pull: Future[list[Message]] | None = None


@dataclass(slots=True, kw_only=True)
class Collection:
    """One run of the loop. `clock` returns Unix seconds, `sleep` waits, `pool` runs the pulls."""

    grid: Mailbox
    inbox: RoundInbox
    terms: Terms
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    pool: Executor
    counts: Counter[str] = field(default_factory=Counter)
    _collected: set[str] = field(default_factory=set)
    _questions: dict[str, _Question] = field(default_factory=dict)
    _ask_at: dict[int, float] = field(default_factory=dict)

    def run(self) -> Ended:
        """Return why the run ended; by then every update that was read lies in the inbox."""
        self._collected = self.inbox.collected_nodes()
        self.counts["resumed"] = len(self._collected)
        deadline = self.clock() + self.terms.duration_seconds
        while (ended := self._why_end(deadline)) is None:
            online = self._online_nodes()
            self._ask(online, deadline)
            self._pull(online)
            self.sleep(self.terms.tick_seconds)
            self._read_answers()
        return ended

    def collected_nodes(self) -> list[str]:
        """Return the names of all nodes whose update lies in the inbox, those of earlier runs too."""
        return sorted(self._collected)

    def _why_end(self, deadline: float) -> Ended | None:
        if len(self._collected) >= self.terms.wanted:
            return Ended.WANTED
        if self.inbox.is_close_asked():
            return Ended.CLOSED
        return Ended.DEADLINE if self.clock() >= deadline else None

    def _online_nodes(self) -> dict[int, str]:
        until = self.clock() + self.terms.margin_seconds
        return {
            node.node_id: node_name_safe(name=node.name, flower_node_id=node.node_id)
            for node in self.grid.get_nodes()
            if node.online_until > until
        }

    def _ask(self, online: dict[int, str], deadline: float) -> None:
        now = self.clock()
        asked = {question.node_id for question in self._questions.values()}
        to_ask = [
            node_id
            for node_id, name in online.items()
            if node_id not in asked and name not in self._collected and self._ask_at.get(node_id, now) <= now
        ]
        if not to_ask:
            return
        ttl = max(deadline - now, self.terms.lease_seconds)
        ids = {"season_id": self.terms.season_id, "round_id": self.terms.round_id}
        messages = [question_make(**ids, flower_node_id=node_id, ttl_seconds=ttl) for node_id in to_ask]
        for node_id, message_id in zip(to_ask, self.grid.push_messages(messages), strict=True):
            self._question_open(node_id, online[node_id], message_id)

    def _question_open(self, node_id: int, name: str, message_id: str | None) -> None:
        now = self.clock()
        if not message_id:
            self.counts["rejected"] += 1
            self._ask_at[node_id] = now + self.terms.ask_again_seconds
            return
        self.counts["asked"] += 1
        self._questions[message_id] = _Question(node_id=node_id, name=name, since=now, next_pull=now)

    def _pull(self, online: dict[int, str]) -> None:
        now = self.clock()
        gap = max(self.terms.tick_seconds, len(self._questions) / self.terms.pulls_per_second)
        for message_id, question in self._questions.items():
            if question.node_id not in online:
                question.since = now
            elif question.pull is None and question.next_pull <= now:
                question.next_pull = now + gap
                question.pull = self.pool.submit(self._pull_one, message_id)

    def _pull_one(self, message_id: str) -> list[Message]:
        return list(self.grid.pull_messages([message_id]))

    def _read_answers(self) -> None:
        for message_id, question in list(self._questions.items()):
            if question.pull is None or not question.pull.done():
                continue
            pull, question.pull = question.pull, None
            if self._is_settled(question, pull):
                del self._questions[message_id]

    def _is_settled(self, question: _Question, pull: Future[list[Message]]) -> bool:
        if (error := pull.exception()) is not None:
            # A reply is a stranger's bytes: one that Flower cannot decode must not end the round for the others.
            _log.warning("round=%s node=%s reply unreadable: %r", self.terms.round_id, question.name, error)
            self._put_off(question, "unreadable")
            return True
        replies = pull.result()
        if replies:
            self._take_in(question, replies[0])
            return True
        if self.clock() - question.since < self.terms.lease_seconds:
            return False
        self.counts["lease_over"] += 1
        return True

    def _take_in(self, question: _Question, reply: Message) -> None:
        if reply.has_error():
            _log.info("round=%s node=%s answered error %s", self.terms.round_id, question.name, reply.error.code)
            self._put_off(question, f"error_{reply.error.code}")
            return
        try:
            answer = answer_read(reply, max_size_bytes=self.terms.max_update_bytes)
        except AnswerRefused as refusal:
            _log.warning("round=%s node=%s %s", self.terms.round_id, question.name, refusal)
            self._put_off(question, "refused")
            return
        if answer.update is None:
            self._put_off(question, "nothing_ready")
            return
        self.inbox.update_write(node=question.name, update=answer.update)
        self._collected.add(question.name)

    def _put_off(self, question: _Question, why: str) -> None:
        self.counts[why] += 1
        self._ask_at[question.node_id] = self.clock() + self.terms.ask_again_seconds
