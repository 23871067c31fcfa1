"""A SuperLink with its SuperNodes in one process, on a virtual clock: what a round's loop meets in the field.

Models what costs schools their work when a loop is careless (flwr 1.41, seen on the real one):
- a pull for a node that is away answers error 5 and deletes the question and a stored answer;
- a node is online until 60 s after its last heartbeat, or until it leaves cleanly;
- a question waits for a node that was online once, is delivered at most once, and ends with its TTL;
- a push to a node that never connected is rejected with an empty id;
- a reply that is still being uploaded blocks the pull of its id; an upload that stalls for 180 s is lost (error 3);
- a SuperNode that was killed is refused until the SuperLink has seen it go offline.
Only nodes whose link is up cost anything, so thousands of schools that are away are cheap.
"""

from __future__ import annotations

import heapq
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
UPLOAD_SESSION_SECONDS = 180.0
MESSAGE_UNAVAILABLE = 3
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
    letters: list[str] = field(default_factory=list)
    """Ids of the questions that the SuperLink keeps for it."""

    def is_connected(self, now: float) -> bool:
        return any(start <= now < end for start, end in self.windows)


@dataclass
class _Upload:
    left_seconds: float
    last_at: float


class SimulatedGrid:
    """The three Grid calls that the loop makes; `advance` is the passing of time.

    Each `get_nodes` takes `lag_seconds`, so that what it said may be outdated when the next call arrives.
    """

    def __init__(self, nodes: Iterable[SimulatedNode], *, lag_seconds: float = 0.0) -> None:
        identity_take()
        self.now = 0.0
        self.nodes = {node.node_id: node for node in nodes}
        self.destroyed_answers = 0
        self.lost_uploads = 0
        self._lag_seconds = lag_seconds
        self._number = 0
        self._awake: dict[int, SimulatedNode] = {}
        self._comings: list[tuple[float, int]] = []
        self._questions: dict[str, tuple[int, float, Message]] = {}
        self._answers: dict[str, Message] = {}
        self._uploads: dict[str, _Upload] = {}
        self._waiting: list[tuple[str, Future[list[Message]], Callable[[str], list[Message]]]] = []
        for node in self.nodes.values():
            self._coming_note(node)
        self.advance(0)

    def clock(self) -> float:
        return self.now

    def is_quiet(self) -> bool:
        """Tell whether no node is connected or believed to be, and nobody waits for a pull."""
        return not self._awake and not self._waiting

    def is_unasked(self) -> bool:
        """Tell whether no question is under way, so that time changes nothing but heartbeats."""
        return not self._questions and not self._waiting

    def supernode_open(self, node_id: int, *, until: float) -> bool:
        """Connect a node's SuperNode for a while; False where the SuperLink still believes in a killed one of it."""
        node = self.nodes[node_id]
        if node.online_until > self.now:
            return False
        node.windows, node.held = [(self.now, until)], []
        self._awake[node_id] = node
        self._live(node, 0.0)
        return True

    def supernode_end(self, node_id: int, *, is_clean: bool) -> None:
        """End a SuperNode, with its goodbye to the SuperLink or without; what it held in memory is gone."""
        node = self.nodes[node_id]
        node.windows, node.held = [], []
        if is_clean:
            node.online_until = min(node.online_until, self.now)

    def run_end(self) -> None:
        """Forget the run's messages, as a SuperLink does whose run has ended or that was away for too long."""
        self._questions, self._answers, self._uploads, self._waiting = {}, {}, {}, []
        for node in self.nodes.values():
            node.letters, node.held = [], []

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self._comings and self._comings[0][0] <= self.now:
            _, node_id = heapq.heappop(self._comings)
            self._awake[node_id] = self.nodes[node_id]
        for node in list(self._awake.values()):
            self._live(node, seconds)
            if not node.is_connected(self.now) and node.online_until <= self.now:
                del self._awake[node.node_id]
                self._coming_note(node)
        for waiting in list(self._waiting):
            message_id, future, call = waiting
            if not self._is_uploading(message_id):
                self._waiting.remove(waiting)
                future.set_result(call(message_id))

    def get_nodes(self) -> list[NodeInfo]:
        online = [
            NodeInfo(node_id=node.node_id, name=node.name, online_until=node.online_until, status="online")
            for node in self._awake.values()
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
        if self._is_uploading(message_id):
            self._waiting.append((message_id, future, call))
        else:
            future.set_result(call(message_id))
        return future

    def _coming_note(self, node: SimulatedNode) -> None:
        node.windows = [window for window in node.windows if window[1] > self.now]
        if node.windows:
            heapq.heappush(self._comings, (min(start for start, _ in node.windows), node.node_id))

    def _push(self, message: Message) -> str:
        node = self.nodes[message.metadata.dst_node_id]
        if not node.online_until:
            return ""
        self._number += 1
        message_id = f"message-{self._number}"
        message.metadata.__dict__["_message_id"] = message_id
        self._questions[message_id] = (node.node_id, self.now + message.metadata.ttl, message)
        node.letters.append(message_id)
        return message_id

    def _pull(self, message_id: str) -> list[Message]:
        while self._is_uploading(message_id):
            self.advance(1.0)
        node_id, expires_at, question = self._questions[message_id]
        if message_id in self._uploads or expires_at <= self.now:
            self.lost_uploads += self._uploads.pop(message_id, None) is not None
            return [self._forget(message_id, question, MESSAGE_UNAVAILABLE, "Message Unavailable")]
        if self.nodes[node_id].online_until <= self.now:
            return [self._forget(message_id, question, NODE_UNAVAILABLE, "Node Unavailable")]
        reply = self._answers.pop(message_id, None)
        if reply is None:
            return []
        del self._questions[message_id]
        return [reply]

    def _forget(self, message_id: str, question: Message, code: int, reason: str) -> Message:
        self.destroyed_answers += self._answers.pop(message_id, None) is not None
        node_id, _, _ = self._questions.pop(message_id)
        node = self.nodes[node_id]
        if message_id in node.letters:
            node.letters.remove(message_id)
        return Message(Error(code, reason), reply_to=question)

    def _is_uploading(self, message_id: str) -> bool:
        upload = self._uploads.get(message_id)
        return upload is not None and self.now - upload.last_at <= UPLOAD_SESSION_SECONDS

    def _live(self, node: SimulatedNode, seconds: float) -> None:
        if self.now >= node.killed_at:
            node.held, node.killed_at = [], float("inf")
        if not node.is_connected(self.now):
            if node.leaves_cleanly and node.online_until:
                node.online_until = min(node.online_until, self.now)
            node.next_heartbeat = node.next_poll = 0.0
            return
        if self.now >= node.next_heartbeat:
            node.online_until, node.next_heartbeat = self.now + ONLINE_SECONDS, self.now + HEARTBEAT_SECONDS
        self._send_finished(node, seconds)
        if self.now >= node.next_poll and not node.held:
            node.next_poll = self.now + POLL_SECONDS
            self._deliver_next(node)

    def _send_finished(self, node: SimulatedNode, seconds: float) -> None:
        for held in [held for held in node.held if held[0] <= self.now]:
            _, message_id, reply = held
            if message_id not in self._questions:
                # The SuperLink has forgotten the question, and takes no answer to it.
                self.destroyed_answers += 1
                node.held.remove(held)
            elif self._is_sent(node, message_id, seconds):
                node.held.remove(held)
                self._answer_store(node, message_id, reply)

    def _is_sent(self, node: SimulatedNode, message_id: str, seconds: float) -> bool:
        fresh = _Upload(node.upload_seconds, self.now)
        upload = self._uploads.setdefault(message_id, fresh)
        if upload is not fresh and self._is_uploading(message_id):
            # What passed while the link was down has carried nothing.
            upload.left_seconds -= min(seconds, self.now - upload.last_at)
            upload.last_at = self.now
        return upload.left_seconds <= 0 and self._is_uploading(message_id)

    def _answer_store(self, node: SimulatedNode, message_id: str, reply: Message) -> None:
        del self._uploads[message_id]
        self._answers[message_id] = reply
        if node.leaves_after_answer:
            node.windows = [window for window in node.windows if window[0] > self.now]
            node.online_until = self.now

    def _deliver_next(self, node: SimulatedNode) -> None:
        while node.letters:
            message_id = node.letters.pop(0)
            _, expires_at, question = self._questions[message_id]
            if expires_at > self.now:
                node.asked.append(self.now)
                node.held.append((self.now + node.work_seconds, message_id, node.answer(question)))
                return


def identity_take() -> None:
    """Let this process be the ServerApp that asks: flwr keeps that for a whole process."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


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
