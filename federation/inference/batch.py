"""Several answers at once: prompts are read in pieces between the steps in which every answer grows by one token.

A matrix is read from memory once for all answers, so that eight together take little longer than one. Whoever comes
joins at the next step, and whoever is done leaves (continuous batching). A row whose answer is over keeps its tokens:
the next turn of that conversation, or the same opening of another, is not read again. Prompts are read in the order in
which they came, and short ones together; what a whole class is told before its questions is read once.

Source: Yu et al. 2022, "Orca: A Distributed Serving System for Transformer-Based Generative Models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from federation.inference.graph_session import NO_FACTORS, Factors, GraphSession
from federation.inference.sampling import GREEDY, Sampler, Sampling

PIECE_TOKENS = 512
# Reading so much delays the next token of all the others by about two tenths of a second on a school's PC. Less would
# let those who have no word yet pay for more steps of those who have.
PIECE_TOKENS_IN_COMPANY = 192
# A shorter common beginning is not worth a copy.
_WORTH_COPYING = 8


@dataclass(slots=True, eq=False)
class Generation:
    """One answer on its way."""

    waiting: list[int]
    """Tokens that are not read yet: the rest of the prompt, or the token that was picked last."""
    sampler: Sampler
    tokens_left: int
    factors: Factors
    prompt: Sequence[int]
    number: int
    """In the order of coming."""
    reused_tokens: int
    """How many tokens of the prompt a row held already."""
    produced: int = 0
    is_over: bool = False
    is_complete: bool = False
    """Whether the model itself ended the answer."""

    @property
    def prompt_tokens(self) -> int:
        """How long the prompt is."""
        return len(self.prompt)

    @property
    def is_reading(self) -> bool:
        """Whether the prompt is not read to its end yet."""
        return len(self.waiting) > 1 and not self.is_over

    @property
    def is_untouched(self) -> bool:
        """Whether nothing of the prompt was read but what a row held."""
        return self.is_reading and self.reused_tokens + len(self.waiting) == len(self.prompt)


class Batch:
    """The answers on their way through one session; for one thread at a time. Answer i is in row i of the cache."""

    def __init__(self, session: GraphSession, *, ends: frozenset[int], memory_tokens: int) -> None:
        """End answers at one of `ends`; idle rows are emptied while all rows together take over `memory_tokens`."""
        self._session = session
        self._cache = session.cache
        self._ends = ends
        self._memory_tokens = memory_tokens
        self._active: list[Generation] = []
        self._last_used = [0] * self._cache.rows
        self._read_with: list[Factors] = [NO_FACTORS] * self._cache.rows
        self._steps = 0
        self._opened = 0

    @property
    def size(self) -> int:
        """How many answers are on their way."""
        return len(self._active)

    @property
    def has_room(self) -> bool:
        """Whether one more can begin."""
        return len(self._active) < self._cache.rows

    @property
    def is_behind(self) -> bool:
        """Whether the next step has enough to read as it is."""
        unread = sum(len(answer.waiting) for answer in self._active if answer.is_reading)
        return unread >= PIECE_TOKENS_IN_COMPANY

    def open(
        self, prompt: Sequence[int], *, max_new_tokens: int, sampling: Sampling = GREEDY, factors: Factors = NO_FACTORS
    ) -> Generation:
        """Begin the answer to `prompt`. There must be room, and prompt and answer must fit into a row."""
        reused = self._claim(prompt, factors)
        self._opened += 1
        generation = Generation(
            waiting=list(prompt[reused:]),
            sampler=Sampler(sampling),
            tokens_left=max_new_tokens,
            factors=factors,
            prompt=tuple(prompt),
            number=self._opened,
            reused_tokens=reused,
        )
        self._active.append(generation)
        return generation

    def step(self) -> list[tuple[Generation, int]]:
        """Read a piece of the prompts, let every other answer grow, and return the new tokens without closing ones.

        Raises:
            EngineFailed: the session broke down.
        """
        self._steps += 1
        growing = [place for place, answer in enumerate(self._active) if not answer.is_reading and not answer.is_over]
        grown = self._prefill()
        # Neighbours with the same factors go through the graph together.
        for _, run in groupby(enumerate(growing), key=lambda entry: (entry[1] - entry[0], self._factors_id(entry[1]))):
            grown += self._decode([place for _, place in run])
        self._spare_memory()
        return [(answer, token) for answer, token in grown if self._keep(answer, token)]

    def close(self, generation: Generation) -> None:
        """Let the answer go; its row keeps what it holds, for a next turn."""
        place, last = self._active.index(generation), len(self._active) - 1
        self._last_used[place] = self._steps
        self._swap_rows(place, last)
        self._active[place], self._active[last] = self._active[last], self._active[place]
        self._active.pop()

    def idle_row(self) -> int:
        """Return a row that no answer uses, for a reading outside the batch; there must be room."""
        return self._least_used()

    def idle_forget(self) -> None:
        """Empty every row that no answer uses."""
        for row in range(len(self._active), self._cache.rows):
            self._cache.forget(row)

    def _claim(self, prompt: Sequence[int], factors: Factors) -> int:
        """Make the next row hold the longest known beginning of `prompt`; return its length, short of the whole."""
        shared = [self._shared(row, prompt, factors) for row in range(self._cache.rows)]
        source, first_idle = int(np.argmax(shared)), len(self._active)
        target = self._least_used()
        # A conversation's next turn begins with most of its row; another's opening is copied out of its row.
        if source >= first_idle and shared[source] * 2 > self._cache.length(source):
            target = source
        if target != source and shared[source] >= _WORTH_COPYING:
            self._cache.prefix_copy(source=source, into=target, tokens=shared[source])
            self._read_with[target] = factors
        kept = min(self._shared(target, prompt, factors), len(prompt) - 1)
        self._cache.truncate(target, kept)
        self._read_with[target] = factors
        self._swap_rows(first_idle, target)
        return kept

    def _prefill(self) -> list[tuple[Generation, int]]:
        """Read on in the oldest prompt and in those behind it whose rest fits as well; return their first tokens."""
        left = PIECE_TOKENS if len(self._active) == 1 else PIECE_TOKENS_IN_COMPANY
        unread = sorted((answer for answer in self._active if answer.is_reading), key=lambda answer: answer.number)
        grown: list[tuple[Generation, int]] = []
        for answer in unread:
            place = self._active.index(answer)
            self._catch_up(place, answer)
            if answer is not unread[0] and len(answer.waiting) > left:
                break
            piece, answer.waiting = answer.waiting[:left], answer.waiting[left:]
            left -= len(piece)
            logits = self._session.read(first_row=place, ids=np.array([piece], np.int64), factors=answer.factors)
            if not answer.waiting:
                grown.append((answer, answer.sampler.pick(logits[0])))
        return grown

    def _catch_up(self, place: int, answer: Generation) -> None:
        """Take over what another row has read of the same opening since this answer was begun."""
        if not answer.is_untouched:
            return
        shared = [self._shared(row, answer.prompt, answer.factors) for row in range(self._cache.rows)]
        source, most = int(np.argmax(shared)), len(answer.prompt) - 1
        if min(shared[source], most) - answer.reused_tokens >= _WORTH_COPYING:
            answer.reused_tokens = min(shared[source], most)
            self._cache.prefix_copy(source=source, into=place, tokens=answer.reused_tokens)
            answer.waiting = list(answer.prompt[answer.reused_tokens :])

    def _decode(self, places: list[int]) -> list[tuple[Generation, int]]:
        answers = [self._active[place] for place in places]
        ids = np.array([answer.waiting for answer in answers], np.int64)
        logits = self._session.read(first_row=places[0], ids=ids, factors=answers[0].factors)
        return [(answer, answer.sampler.pick(row)) for answer, row in zip(answers, logits, strict=True)]

    def _keep(self, answer: Generation, token: int) -> bool:
        """Note the new token; return whether it belongs to the answer's words."""
        answer.waiting = [token]
        answer.tokens_left -= 1
        answer.is_complete = token in self._ends
        answer.is_over = answer.is_complete or answer.tokens_left <= 0
        answer.produced += not answer.is_complete
        return not answer.is_complete

    def _shared(self, row: int, prompt: Sequence[int], factors: Factors) -> int:
        return self._cache.shared_prefix(row, prompt) if self._read_with[row] is factors else 0

    def _least_used(self) -> int:
        idle = range(len(self._active), self._cache.rows)
        return min(idle, key=lambda row: (self._cache.length(row) > 0, self._last_used[row]))

    def _swap_rows(self, first: int, second: int) -> None:
        self._cache.swap(first, second)
        used, factors = self._last_used, self._read_with
        used[first], used[second] = used[second], used[first]
        factors[first], factors[second] = factors[second], factors[first]

    def _factors_id(self, place: int) -> int:
        return id(self._active[place].factors)

    def _spare_memory(self) -> None:
        idle = sorted(range(len(self._active), self._cache.rows), key=lambda row: self._last_used[row])
        taken = sum(self._cache.touched(row) for row in range(self._cache.rows))
        for row in idle:
            if taken <= self._memory_tokens:
                return
            taken -= self._cache.touched(row)
            self._cache.forget(row)
