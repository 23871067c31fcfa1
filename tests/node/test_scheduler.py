"""Who hears which place, and who begins when: the scheduler on an engine that reads one question a step."""

import threading
from dataclasses import dataclass, field

from federation.inference.prompt import Role, Turn
from node.chat.engine_events import ChatMessage, EngineOp, EngineRequest, EventKind
from node.chat.scheduler import Scheduler


@dataclass(eq=False)
class Writing:
    """An answer of one token behind a question of `left` steps."""

    words: str
    number: int
    left: int
    is_over: bool = False
    is_complete: bool = False
    produced: int = 0
    prompt_tokens: int = 1

    @property
    def is_reading(self):
        return self.left > 0


@dataclass
class SlowReader:
    """An engine of `rows` rows. A question takes as many steps as it has words; what was begun is kept in order."""

    rows: int = 2
    began: list = field(default_factory=list)
    active: list = field(default_factory=list)
    tokenizer: object = None
    on_step: object = None

    @property
    def has_room(self):
        return len(self.active) < self.rows

    @property
    def is_behind(self):
        return any(writing.is_reading for writing in self.active)

    def begin(self, turns, **_options):
        assert turns == [Turn(Role.USER, turns[0].text)]
        writing = Writing(turns[0].text, number=len(self.began), left=len(turns[0].text.split()))
        self.began.append(writing.words)
        self.active.append(writing)
        return writing

    def step(self):
        reading = next((writing for writing in self.active if writing.is_reading), None)
        if reading:
            reading.left -= 1
        for writing in self.active:
            writing.is_over = writing.is_complete = not writing.is_reading
        self.on_step()
        return []

    def end(self, writing):
        self.active.remove(writing)


@dataclass
class Serving:
    """Serves that engine as release 1."""

    engine: SlowReader
    digest: str = "d" * 64
    version: int = 1
    factors: object = None

    @property
    def served(self):
        return self

    def is_due(self):
        return False

    def of(self, _digest):
        return self


def answered(*questions, steps=()):
    """Let clients ask all `questions` (client, words) at once; return their places, and the order of beginning."""
    stopping = threading.Event()
    engine = SlowReader()
    scheduler = Scheduler(serving=Serving(engine), stopping=stopping)

    def ask(client, words):
        message = ChatMessage(role="user", text=words)
        return scheduler.submit(EngineRequest(op=EngineOp.GENERATE, client=client, messages=(message,)))

    tickets = [ask(*question) for question in questions]
    late = list(steps)

    def look():
        if late:
            tickets.append(ask(*late.pop(0)))
        if scheduler.load().waiting == 0 and all(not writing.is_reading for writing in engine.active):
            stopping.set()

    engine.on_step = look
    scheduler.work()
    return [places(ticket) for ticket in tickets], engine.began


def places(ticket):
    told = []
    while not ticket.events.empty():
        event = ticket.events.get()
        told += [event.place] if event.kind is EventKind.QUEUED else []
    return told


def test_who_waits_behind_another_hears_every_place_on_the_way_and_who_is_read_first_too():
    told, began = answered(("a", "як ду"), ("b", "се"), ("c", "чор"))
    assert told == [[0], [1, 0], [2, 1]]
    assert began == ["як ду", "се", "чор"]


def test_who_is_alone_hears_of_no_queue():
    assert answered(("a", "як ду се")) == ([[]], ["як ду се"])


def test_nobody_begins_before_the_engine_can_read_so_a_newcomer_goes_before_anothers_third_question():
    _told, began = answered(("a", "як ду"), ("a", "се"), ("a", "чор"), steps=[("b", "панҷ")])
    assert began == ["як ду", "се", "панҷ", "чор"]
