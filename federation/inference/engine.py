"""The engine that schools run: a package in ONNX Runtime, several answers at once, with at most one adapter each.

For one thread at a time. `generate`, `answers` and the scores are for one caller that waits; a server calls `begin`,
`step` and `end` itself, so that pupils join and leave between two steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from federation.inference.answer_text import AnswerText
from federation.inference.batch import Batch, Generation
from federation.inference.errors import EngineFailed
from federation.inference.graph_session import FAILURES, LOGPROBS, NO_FACTORS, SCORE_LOGITS, Factors, GraphSession
from federation.inference.package import TOKENIZER, PackageCard, package_open
from federation.inference.prompt import ChatTokenizer, Turn
from federation.inference.providers import providers_choose
from federation.inference.sampling import GREEDY, Sampling

# Idle rows are emptied while all rows together hold more than this: seven chats of a thousand tokens on a 270M model,
# one on a 4B model.
_REMEMBERED_BYTES = 256 * 2**20


class Engine:
    """A loaded package. Make one with `Engine.load`."""

    def __init__(self, *, card: PackageCard, session: GraphSession, tokenizer: ChatTokenizer) -> None:
        """Hold what `load` opened."""
        self.card = card
        self.tokenizer = tokenizer
        self._session = session
        memory_tokens = _REMEMBERED_BYTES // session.cache.shape.bytes_per_token
        self._batch = Batch(session, ends=tokenizer.answer_ends, memory_tokens=memory_tokens)
        self._factors: Factors = NO_FACTORS

    @classmethod
    def load(cls, package: Path, adapter: Path | None = None, *, threads: int | None = None, rows: int = 1) -> Self:
        """Return an engine on the package folder for `rows` answers at once, the `.onnx_adapter` file `adapter` active.

        Raises:
            PackageIncomplete, PackageCardInvalid: the package is not whole.
            EngineFailed: ONNX Runtime refuses the graph or the adapter.
        """
        card = package_open(package)
        # The tokenizer first: while it is parsed it takes as much memory as the weights do later.
        tokenizer = ChatTokenizer(package / TOKENIZER)
        providers = providers_choose(quantisation=card.quantisation, offered=onnxruntime.get_available_providers())
        session = GraphSession(
            package, rows=rows, context_tokens=card.context_tokens, threads=threads, providers=providers
        )
        engine = cls(card=card, session=session, tokenizer=tokenizer)
        engine.swap_adapter(adapter)
        return engine

    def swap_adapter(self, adapter: Path | None) -> None:
        """Let answers that begin from now on use `adapter`, or the base alone when it is None.

        Raises:
            EngineFailed: the file cannot be loaded; the adapter that was active stays so.
        """
        factors = NO_FACTORS if adapter is None else adapter_factors(adapter)
        self.factors_drop(self._factors)
        self._factors = factors

    def factors_drop(self, factors: Factors) -> None:
        """Forget the factors of an adapter with which no answer will begin again."""
        self._session.factors_drop(factors)

    @property
    def has_room(self) -> bool:
        """Whether one more answer can begin."""
        return self._batch.has_room

    @property
    def is_behind(self) -> bool:
        """Whether another answer would only wait: the prompts of those that have begun are a step's work."""
        return self._batch.is_behind

    def begin(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        factors: Factors | None = None,
    ) -> Generation:
        """Begin an answer to `turns`; there must be room. Every `step` lets it grow until `end` is called.

        `factors` are those of another adapter than the active one; NO_FACTORS: the base alone.

        Raises:
            PromptTooLong: the last turn does not fit beside `max_new_tokens`.
        """
        prompt = self.tokenizer.prompt(turns, allowed_tokens=self.card.context_tokens - max_new_tokens)
        return self.begin_ids(prompt, max_new_tokens=max_new_tokens, sampling=sampling, factors=factors)

    def begin_ids(
        self,
        prompt: Sequence[int],
        *,
        max_new_tokens: int,
        sampling: Sampling = GREEDY,
        factors: Factors | None = None,
    ) -> Generation:
        """Begin to continue `prompt` as it stands; it fits into the context together with `max_new_tokens`."""
        chosen = self._factors if factors is None else factors
        return self._batch.open(prompt, max_new_tokens=max_new_tokens, sampling=sampling, factors=chosen)

    def step(self) -> list[tuple[Generation, int]]:
        """Let the answers grow; return each new token with the answer it belongs to.

        Raises:
            EngineFailed: the engine broke down on the way.
        """
        return self._batch.step()

    def end(self, generation: Generation) -> None:
        """Let an answer go, whether it is over or not."""
        self._batch.close(generation)

    def generate(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        sampling: Sampling = GREEDY,
        stops: Sequence[str] = (),
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Yield the answer's text as it comes, in pieces of whole characters.

        It ends at the end of the turn, after `max_new_tokens`, before one of the texts `stops`, or at the first token
        after `stop()` became true.

        Raises:
            PromptTooLong: the last turn does not fit beside `max_new_tokens`.
            EngineFailed: the engine broke down on the way.
        """
        generation = self.begin(turns, max_new_tokens=max_new_tokens, sampling=sampling)
        text = AnswerText(self.tokenizer, stops=stops)
        try:
            while not (generation.is_over or text.is_stopped or stop()):
                yield from (words for _, token in self.step() if (words := text.take(token)))
            if words := text.finish():
                yield words
        finally:
            self.end(generation)

    def answer(self, turns: Sequence[Turn], *, max_new_tokens: int = 256) -> str:
        """Return the whole greedy answer to `turns`."""
        return "".join(self.generate(turns, max_new_tokens=max_new_tokens)).strip()

    def logprob_per_token(self, turns: Sequence[Turn], answer: str, *, factors: Factors | None = None) -> float:
        """Return the mean natural-log probability of the tokens of `answer`, the closing turn token included.

        `factors` as in `begin`.

        Raises:
            PromptTooLong: question and answer do not fit into the context.
        """
        closing = self.tokenizer.answer(answer)
        prompt = self.tokenizer.prompt(turns, allowed_tokens=self.card.context_tokens - len(closing))
        return float(self._score(prompt + closing, len(closing), factors).mean())

    def perplexity(
        self, text: str, *, piece_tokens: int = 300, progress: Callable[[float], None] = lambda _part: None
    ) -> float:
        """Return e to the mean, over the pieces of `losses`, of the mean loss of a token."""
        means = [float(piece.mean()) for piece in self.losses(text, piece_tokens=piece_tokens, progress=progress)]
        return math.exp(sum(means) / len(means))

    def losses(
        self, text: str, *, piece_tokens: int = 300, progress: Callable[[float], None] = lambda _part: None
    ) -> list[NDArray[np.float32]]:
        """Return the loss of each token of `text` in nats, in pieces of `piece_tokens` tokens.

        Each piece stands alone behind a BOS token; `progress` hears after each how much is done.
        """
        ids, losses = self.tokenizer.words(text), []
        for start in range(0, len(ids), piece_tokens):
            piece = ids[start : start + piece_tokens]
            losses.append(-self._score([self.tokenizer.bos, *piece], len(piece)))
            progress(min(1.0, (start + piece_tokens) / len(ids)))
        return losses

    def logits(self, ids: Sequence[int], last: int) -> NDArray[np.float32]:
        """Return float32 (last, vocabulary): what the model expects after each of the last `last` of `ids`."""
        targets = [self.tokenizer.bos] * last
        row = self._batch.idle_row()
        return self._session.score(row=row, ids=ids, targets=targets, factors=self._factors, output=SCORE_LOGITS)

    def _score(self, ids: Sequence[int], scored: int, factors: Factors | None = None) -> NDArray[np.float32]:
        """Return the log-probability of each of the last `scored` ids, given all before it."""
        row = self._batch.idle_row()
        chosen = self._factors if factors is None else factors
        return self._session.score(row=row, ids=ids[:-1], targets=ids[-scored:], factors=chosen, output=LOGPROBS)


def adapter_factors(adapter: Path) -> Factors:
    """Return the factors in the `.onnx_adapter` file `adapter`.

    Raises:
        EngineFailed: it cannot be read.
    """
    try:
        file = onnxruntime.AdapterFormat.read_adapter(str(adapter))
    except (*FAILURES, OSError) as error:
        raise EngineFailed(path=str(adapter), problem=str(error)) from error
    factors: Factors = file.get_parameters()
    return factors
