"""A SuperLink with its SuperNodes in one process, on a virtual clock: what a round's loop meets in the field.

Models what costs schools their work when a loop is careless (flwr 1.41, seen on the real one):
- a pull for a node that is away answers error 5 and deletes the question and a stored answer;
- a node is online until 60 s after its last heartbeat, or until it leaves cleanly;
- a question waits for a node that was online once, is delivered at most once, and ends with its TTL;
- a push to a node that never connected is rejected with an empty id;
- a reply that is still being uploaded blocks the pull of its id.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

from flwr.app import Error, Message
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.task_identity import TaskIdentity

HEARTBEAT_SECONDS = 20.0
ONLINE_SECONDS = 60.0
POLL_SECONDS = 3.0
NODE_UNAVAILABLE = 5


@dataclass
class SimulatedNode:
    """A school's SuperNode: connected during `windows` (start, end); `killed_at` loses what it holds in memory."""

    node_id: int
    name: str
    windows: list[tuple[float, float]]
    answer: Callable[[Message], Message]
    work_seconds: float = 2.0
    upload_seconds: float = 0.0
    leaves_cleanly: bool = True
    leaves_after_answer: bool = False
    killed_at: float = float("inf")
    online_until: float = 0.0
    next_poll: float = 0.0
    next_heartbeat: float = 0.0
    held: list[tuple[float, str, Message]] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def is_connected(self, now: float) -> bool:
        return any(start <= now < end for start, end in self.windows)


class SimulatedGrid:
    """The three Grid calls that the loop makes; `advance` is the passing of time.

    Each `get_nodes` takes `lag_seconds`, so that what it said may be outdated when the next call arrives.
    """

    def __init__(self, nodes: Iterable[SimulatedNode], *, lag_seconds: float = 0.0) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self.now = 0.0
        self.nodes = {node.node_id: node for node in nodes}
        self.destroyed_answers = 0
        self._lag_seconds = lag_seconds
        self._destroyed: set[str] = set()
        self._questions: dict[str, Message] = {}
        self._undelivered: dict[str, float] = {}
        self._answers: dict[str, tuple[float, Message]] = {}
        self._waiting: list[tuple[float, Future[list[Message]], Callable[[], list[Message]]]] = []
        self.advance(0)

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for node in self.nodes.values():
            self._live(node)
        for ready_at, future, pull in list(self._waiting):
            if ready_at <= self.now:
                self._waiting.remove((ready_at, future, pull))
                future.set_result(pull())

    def get_nodes(self) -> list[NodeInfo]:
        online = [
            NodeInfo(node_id=node.node_id, name=node.name, online_until=node.online_until, status="online")
            for node in self.nodes.values()
            if node.online_until > self.now
        ]
        self.advance(self._lag_seconds)
        return online

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        return [self._push(message) for message in messages]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        return [reply for message_id in message_ids for reply in self._pull(message_id)]

    def submit(self, call: Callable[[str], list[Message]], message_id: str) -> Future[list[Message]]:
        """Run a pull as a thread would: at once, unless the reply to this id is still on its way up."""
        future: Future[list[Message]] = Future()
        ready_at, _ = self._answers.get(message_id, (0.0, None))
        if ready_at > self.now:
            self._waiting.append((ready_at, future, lambda: call(message_id)))
        else:
            future.set_result(call(message_id))
        return future

    def _push(self, message: Message) -> str:
        node = self.nodes[message.metadata.dst_node_id]
        if not node.online_until:
            return ""
        message_id = f"message-{len(self._questions)}"
        message.metadata.__dict__["_message_id"] = message_id
        self._questions[message_id] = message
        self._undelivered[message_id] = self.now + message.metadata.ttl
        return message_id

    def _pull(self, message_id: str) -> list[Message]:
        question = self._questions[message_id]
        if self.nodes[question.metadata.dst_node_id].online_until <= self.now:
            self._undelivered.pop(message_id, None)
            self._destroyed.add(message_id)
            self.destroyed_answers += self._answers.pop(message_id, None) is not None
            return [Message(Error(NODE_UNAVAILABLE, "Node Unavailable"), reply_to=question)]
        _, reply = self._answers.pop(message_id, (0.0, None))
        return [] if reply is None else [reply]

    def _live(self, node: SimulatedNode) -> None:
        if self.now >= node.killed_at:
            node.held, node.killed_at = [], float("inf")
        if not node.is_connected(self.now):
            if node.leaves_cleanly and node.online_until:
                node.online_until = min(node.online_until, self.now)
            node.next_heartbeat = node.next_poll = 0.0
            return
        if self.now >= node.next_heartbeat:
            node.online_until, node.next_heartbeat = self.now + ONLINE_SECONDS, self.now + HEARTBEAT_SECONDS
        self._send_finished(node)
        if self.now >= node.next_poll and not node.held:
            node.next_poll = self.now + POLL_SECONDS
            self._deliver_next(node)

    def _send_finished(self, node: SimulatedNode) -> None:
        for finished_at, message_id, reply in list(node.held):
            if finished_at <= self.now:
                node.held.remove((finished_at, message_id, reply))
                if message_id in self._destroyed:
                    self.destroyed_answers += 1
                    continue
                self._answers[message_id] = (self.now + node.upload_seconds, reply)
                if node.leaves_after_answer:
                    node.windows = [window for window in node.windows if window[0] > self.now]
                    node.online_until = self.now

    def _deliver_next(self, node: SimulatedNode) -> None:
        for message_id, expires_at in list(self._undelivered.items()):
            question = self._questions[message_id]
            if question.metadata.dst_node_id == node.node_id:
                del self._undelivered[message_id]
                if expires_at > self.now:
                    node.asked.append(self.now)
                    node.held.append((self.now + node.work_seconds, message_id, node.answer(question)))
                    return


class SimulatedPool(Executor):
    """The loop's thread pool, run by the grid's clock instead of threads."""

    def __init__(self, grid: SimulatedGrid) -> None:
        self._grid = grid

    def submit(self, call, /, *arguments, **_):
        return self._grid.submit(call, *arguments)


def windows_draw(
    rng: random.Random, *, until_seconds: float, a_day: float, mean_seconds: float
) -> list[tuple[float, float]]:
    """Return random contacts of a school: `a_day` of them on average, each exponentially long."""
    windows, now = [], 0.0
    while (now := now + rng.expovariate(a_day / 86_400)) < until_seconds:
        windows.append((now, now + rng.expovariate(1 / mean_seconds)))
        now = windows[-1][1]
    return windows
