"""Brings the questions of many to one engine: who waits, who is answered, and the words that go back to each.

One thread runs `work`; any thread may `submit`, `cancel` and `stop`. Up to as many as the engine has rows are answered
together, the others wait in fair order and hear their place. Nobody begins before the engine can read the question, so
that the order stays open until then. A new release is loaded between two answers: while one waits, nobody new begins.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from federation.errors import FederationError
from federation.inference.answer_text import AnswerText
from federation.inference.batch import Generation
from federation.inference.prompt import Role, Turn
from federation.inference.sampling import Sampling
from node.chat.engine_events import (
    EngineEvent,
    EngineOp,
    EngineRequest,
    EventKind,
)
from node.chat.errors import DeviceCrowded
from node.chat.fair_queue import FairQueue
from node.chat.serving import Served, Serving

MAX_TOKENS = 1024
MAX_SECONDS = 300.0
_IDLE_SECONDS = 0.5
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Ticket:
    """One request from its coming to its last event; `events` is read by whoever submitted it."""

    request: EngineRequest
    events: queue.SimpleQueue[EngineEvent] = field(default_factory=queue.SimpleQueue)
    is_stopped: bool = False
    place: int | None = None


@dataclass(slots=True, eq=False)
class _Answer:
    """An answer on its way."""

    ticket: Ticket
    served: Served
    generation: Generation
    text: AnswerText
    ends_at: float
    words: str = ""

    def tell(self, words: str) -> None:
        """Send the next words."""
        if words:
            self.words += words
            release, version = self.served.digest, self.served.version
            self.ticket.events.put(EngineEvent(kind=EventKind.PIECE, text=words, release=release, version=version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What the engine has to do."""

    waiting: int
    answering: int
    idle_seconds: float
    """Since anything was asked, or a token written, or since the process began."""


class Scheduler:
    """The queue before the engine that `serving` holds."""

    def __init__(
        self, *, serving: Serving, stopping: threading.Event, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Prepare; nothing is answered before `work`."""
        self._serving = serving
        self._stopping = stopping
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._waiting: FairQueue[Ticket] = FairQueue()
        self._answers: list[_Answer] = []
        self._busy_at = monotonic()

    def submit(self, request: EngineRequest) -> Ticket:
        """Let `request` (a generation or a score) wait for its turn; the ticket's last event ends it.

        Where as many of its client wait as may, that event says so at once.
        """
        ticket = Ticket(request)
        with self._changed:
            self._busy_at = self._monotonic()
            waiting = self._waiting.waiting_of(request.client)
            if 0 < request.most_waiting <= waiting:
                ticket.events.put(_error(DeviceCrowded(waiting=waiting, most=request.most_waiting)))
                return ticket
            self._waiting.push(request.client, ticket)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """End what nobody waits for any more."""
        with self._changed:
            ticket.is_stopped = True
            self._changed.notify()

    def stop(self, generation: str) -> bool:
        """End the answer of this name; return whether it was on its way."""
        with self._changed:
            tickets = [*self._waiting.in_order(), *(answer.ticket for answer in self._answers)]
            named = [ticket for ticket in tickets if ticket.request.generation == generation]
            for ticket in named:
                ticket.is_stopped = True
            self._changed.notify()
        return bool(named)

    def load(self) -> Load:
        """Return who is waiting and answered now, and since when nobody was."""
        with self._changed:
            idle_seconds = self._monotonic() - self._busy_at
            return Load(waiting=len(self._waiting), answering=len(self._answers), idle_seconds=idle_seconds)

    def work(self) -> None:
        """Answer until told to stop; every ticket has its last event then."""
        try:
            while not self._stopping.is_set():
                is_due = self._serving.is_due()
                if is_due and not self._answers:
                    self._serving.follow()
                elif not is_due:
                    self._admit()
                self._tell_places()
                if self._answers:
                    self._grow()
                else:
                    self._rest()
        finally:
            # Also when following broke: nobody would answer any more, and the supervisor starts a whole engine.
            self._stopping.set()
            self._end_all()

    def _admit(self) -> None:
        while (ticket := self._next()) is not None:
            try:
                served = self._serving.of(ticket.request.release)
                if ticket.request.op is EngineOp.SCORE:
                    ticket.events.put(_score(ticket.request, served))
                else:
                    self._answers.append(self._begin(ticket, served))
            except FederationError as error:
                ticket.events.put(_error(error))

    def _next(self) -> Ticket | None:
        """Take out the next ticket that the engine has room for; one that was stopped waiting is closed."""
        with self._changed:
            for ticket in self._waiting.in_order():
                if ticket.is_stopped:
                    self._waiting.remove(ticket)
                    ticket.events.put(EngineEvent(kind=EventKind.DONE, is_stopped=True))
            served = self._serving.served
            has_room = served is None or (served.engine.has_room and not served.engine.is_behind)
            return self._waiting.pop() if has_room and self._waiting else None

    def _begin(self, ticket: Ticket, served: Served) -> _Answer:
        request = ticket.request
        generation = served.engine.begin(
            _turns(request),
            max_new_tokens=min(request.max_tokens, MAX_TOKENS),
            sampling=Sampling(temperature=request.temperature, top_p=request.top_p, seed=request.seed),
            factors=served.factors,
        )
        text = AnswerText(served.engine.tokenizer, stops=request.stop)
        return _Answer(ticket, served, generation, text, ends_at=self._monotonic() + MAX_SECONDS)

    def _grow(self) -> None:
        engine = self._answers[0].served.engine
        try:
            tokens = dict(engine.step())
        except FederationError as error:
            _log.exception("a question broke the engine")
            self._fail_all(error)
            return
        self._busy_at = now = self._monotonic()
        for answer in list(self._answers):
            if answer.generation in tokens:
                answer.tell(answer.text.take(tokens[answer.generation]))
            is_late = now >= answer.ends_at
            if answer.generation.is_over or answer.text.is_stopped or answer.ticket.is_stopped or is_late:
                self._finish(answer)

    def _finish(self, answer: _Answer) -> None:
        answer.served.engine.end(answer.generation)
        self._answers.remove(answer)
        answer.tell(answer.text.finish())
        done = EngineEvent(
            kind=EventKind.DONE,
            release=answer.served.digest,
            version=answer.served.version,
            text=answer.words.strip(),
            is_stopped=answer.ticket.is_stopped,
            is_complete=answer.generation.is_complete or answer.text.is_stopped,
            prompt_tokens=answer.generation.prompt_tokens,
            tokens=answer.generation.produced,
        )
        answer.ticket.events.put(done)

    def _fail_all(self, error: FederationError) -> None:
        for answer in self._answers:
            answer.served.engine.end(answer.generation)
            answer.ticket.events.put(_error(error))
        self._answers.clear()

    def _end_all(self) -> None:
        for answer in list(self._answers):
            answer.ticket.is_stopped = True
            self._finish(answer)
        with self._changed:
            while self._waiting:
                self._waiting.pop().events.put(EngineEvent(kind=EventKind.DONE, is_stopped=True))

    def _tell_places(self) -> None:
        """Tell everybody without a word who stands before; whoever is alone is answered sooner than that is read."""
        reading = sorted(
            (answer for answer in self._answers if answer.generation.is_reading),
            key=lambda answer: answer.generation.number,
        )
        with self._changed:
            line = [*(answer.ticket for answer in reading), *self._waiting.in_order()]
            for place, ticket in enumerate(line):
                if ticket.place != place and len(line) > 1:
                    ticket.place = place
                    ticket.events.put(EngineEvent(kind=EventKind.QUEUED, place=place))

    def _rest(self) -> None:
        with self._changed:
            if not self._waiting and not self._stopping.is_set():
                self._changed.wait(timeout=_IDLE_SECONDS)


def _turns(request: EngineRequest) -> list[Turn]:
    return [Turn(Role(message.role), message.text) for message in request.messages]


def _score(request: EngineRequest, served: Served) -> EngineEvent:
    score = served.engine.logprob_per_token(_turns(request), request.answer, factors=served.factors)
    return EngineEvent(kind=EventKind.DONE, release=served.digest, version=served.version, logprob_per_token=score)


def _error(error: FederationError) -> EngineEvent:
    fields = {name: str(value) for name, value in error.fields.items()}
    return EngineEvent(kind=EventKind.ERROR, code=error.code, fields=fields)
