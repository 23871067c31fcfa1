"""The durable Flower client: whatever call a power cut ends, the next process goes on, and no piece goes twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from federation.learning.flower.exchange import Exchange, ExchangeOver
from federation.learning.flower.letter import Letter, Sending

PIECES = {"a": b"head", "b": b"body", "c": b"tail"}


class PowerCut(BaseException):
    """The PC is off in this very moment."""


@dataclass
class SuperLink:
    """Gives a question away once and names a session once, as the real one does; cut at the calls in `cuts`.

    A cut comes before the call's effect, or after it where the number is in `late` as well.
    """

    cuts: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    waiting: list[bytes] = field(default_factory=lambda: [b"question"])
    taken: dict[str, bytes] = field(default_factory=dict)
    is_named: bool = False
    is_over: bool = False
    sent: list[str] = field(default_factory=list)
    calls: int = 0
    claims: int = 0

    def question_claim(self) -> bytes | None:
        self._called()
        question = self.waiting.pop() if self.waiting else None
        self.claims += question is not None
        return question

    def answer_begin(self, question: bytes) -> tuple[Sending, dict[str, bytes]]:
        self._called()
        assert question == b"question"
        if self.is_over:
            raise ExchangeOver(reason="run")
        lacking = () if self.is_named else tuple(PIECES)
        self.is_named = True
        return Sending(run_id=2**63, session_id="s", lacking=lacking), {name: PIECES[name] for name in lacking}

    def piece_send(self, sending: Sending, name: str, content: bytes) -> bool:
        self._called()
        assert (sending.run_id, sending.session_id) == (2**63, "s")
        self.sent.append(name)
        is_lacking = not self.is_over and name not in self.taken
        if is_lacking:
            self.taken[name] = content
        if self.calls in self.cuts:
            raise PowerCut
        return is_lacking

    def _called(self) -> None:
        self.calls += 1
        if self.calls in self.cuts - self.late:
            raise PowerCut


class Idle(Exception):
    """There is nothing to do."""


def idle(_seconds: float) -> None:
    raise Idle


def serve(superlink: SuperLink, folder) -> int:
    """Start the client again after every cut until it has nothing to do; return how often it was cut."""
    cuts = 0
    while True:
        exchange = Exchange(fleet=superlink, letter=Letter(folder), sleep=idle)
        try:
            while True:
                exchange.step()
        except PowerCut:
            cuts += 1
        except Idle:
            return cuts


def test_an_answer_goes_up_piece_by_piece_and_nothing_stays_in_hand(tmp_path):
    superlink = SuperLink()
    serve(superlink, tmp_path)
    assert superlink.taken == PIECES
    assert list(tmp_path.iterdir()) == []


CALLS = st.frozensets(st.integers(1, 12), max_size=6)


@given(cuts=CALLS)
def test_a_cut_before_any_call_loses_no_question_and_sends_no_piece_twice(cuts, tmp_path_factory):
    superlink = SuperLink(cuts=cuts)
    cut = serve(superlink, tmp_path_factory.mktemp("home"))
    assert superlink.taken == PIECES
    assert sorted(superlink.sent) == sorted(PIECES)
    assert (superlink.claims, cut) == (1, len([call for call in cuts if call <= superlink.calls]))


@given(cuts=CALLS.map(lambda calls: frozenset(call for call in calls if call > 2)))
def test_a_cut_after_a_piece_was_taken_loses_nothing(cuts, tmp_path_factory):
    superlink = SuperLink(cuts=cuts, late=cuts)
    serve(superlink, tmp_path_factory.mktemp("home"))
    assert superlink.taken == PIECES


def test_a_run_that_is_over_is_let_go_and_the_next_question_is_answered(tmp_path):
    superlink = SuperLink(is_over=True)
    serve(superlink, tmp_path)
    assert (superlink.taken, Letter(tmp_path).question()) == ({}, None)
    superlink.is_over, superlink.waiting = False, [b"question"]
    serve(superlink, tmp_path)
    assert superlink.taken == PIECES


def test_a_session_that_ended_in_the_middle_is_let_go(tmp_path):
    superlink = SuperLink(cuts=frozenset({4}))
    exchange = Exchange(fleet=superlink, letter=Letter(tmp_path), sleep=idle)
    for _call in range(2):
        exchange.step()
    try:
        exchange.step()
    except PowerCut:
        superlink.is_over = True
    assert Letter(tmp_path).sending().lacking == ("b", "c")
    serve(superlink, tmp_path)
    assert superlink.taken == {"a": b"head"}
    assert superlink.sent == ["a", "b", "c"]
    assert list(tmp_path.iterdir()) == []
