"""The engine that schools run: onnxruntime-genai on a package, with at most one adapter active.

The graph takes `score.targets` int64 (1, n), which must be given at every run (empty while chatting): for the last n
tokens of a prompt it names the tokens that should come next, and `score.logprobs` float32 (1, n) are their
log-probabilities. One Engine answers one question at a time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime_genai as genai
from numpy.typing import NDArray

from federation.inference.errors import EngineFailed
from federation.inference.package import TOKENIZER, PackageCard, package_open
from federation.inference.prompt import ChatTokenizer, Turn

_ADAPTER = "adapter"
_SCORE_TARGETS = "score.targets"
_SCORE_LOGPROBS = "score.logprobs"


class Engine:
    """A loaded package. Make one with `Engine.load`."""

    def __init__(self, *, path: Path, card: PackageCard, model: genai.Model, tokenizer: ChatTokenizer) -> None:
        """Hold what `load` opened."""
        self.card = card
        self.tokenizer = tokenizer
        self._path = path
        self._model = model
        self._adapters: genai.Adapters | None = None

    @classmethod
    def load(cls, package: Path, adapter: Path | None = None, *, threads: int | None = None) -> Self:
        """Return an engine on the package folder, with the `.onnx_adapter` file `adapter` active.

        Raises:
            PackageIncomplete, PackageCardInvalid: the package is not whole.
            EngineFailed: onnxruntime-genai refuses the graph or the adapter.
        """
        card = package_open(package)
        config = genai.Config(str(package))
        if threads is not None:
            options = {"intra_op_num_threads": threads}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        try:
            model = genai.Model(config)
        except RuntimeError as error:
            raise EngineFailed(path=str(package), problem=str(error)) from error
        engine = cls(path=package, card=card, model=model, tokenizer=ChatTokenizer(package / TOKENIZER))
        engine.swap_adapter(adapter)
        return engine

    def swap_adapter(self, adapter: Path | None) -> None:
        """Let answers that begin from now on use `adapter`, or the base alone when it is None.

        Raises:
            EngineFailed: the file cannot be loaded; the adapter that was active stays so.
        """
        if adapter is None:
            self._adapters = None
            return
        adapters = genai.Adapters(self._model)
        try:
            adapters.load(str(adapter), _ADAPTER)
        except RuntimeError as error:
            raise EngineFailed(path=str(adapter), problem=str(error)) from error
        self._adapters = adapters

    def generate(
        self,
        turns: Sequence[Turn],
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 0.95,
        seed: int = 0,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Yield the answer's text as it comes, in pieces of whole characters; temperature 0 is greedy.

        It ends at the end of the turn, after `max_new_tokens`, or at the first token after `stop()` became true.

        Raises:
            PromptTooLong: the last turn does not fit beside `max_new_tokens`.
            EngineFailed: the engine broke down on the way.
        """
        prompt = self.tokenizer.prompt(turns, allowed_tokens=self.card.context_tokens - max_new_tokens)
        options: dict[str, float] = {"do_sample": temperature > 0}
        if temperature > 0:
            options |= {"temperature": temperature, "top_p": top_p, "random_seed": seed}
        yield from self.tokenizer.pieces(self._tokens(prompt, max_new_tokens, options, stop))

    def answer(self, turns: Sequence[Turn], *, max_new_tokens: int = 256) -> str:
        """Return the whole greedy answer to `turns`."""
        return "".join(self.generate(turns, max_new_tokens=max_new_tokens)).strip()

    def logprob_per_token(self, turns: Sequence[Turn], answer: str) -> float:
        """Return the mean natural-log probability of the tokens of `answer`, the closing turn token included.

        Raises:
            PromptTooLong: question and answer do not fit into the context.
        """
        closing = self.tokenizer.answer(answer)
        prompt = self.tokenizer.prompt(turns, allowed_tokens=self.card.context_tokens - len(closing))
        return float(self._score(prompt + closing, len(closing)).mean())

    def perplexity(self, text: str, *, piece_tokens: int = 300) -> float:
        """Return e to the mean, over pieces of `piece_tokens` tokens, of the mean loss of a token in nats.

        Each piece stands alone behind a BOS token, and each of its tokens counts.
        """
        ids = self.tokenizer.words(text)
        losses = []
        for start in range(0, len(ids), piece_tokens):
            piece = ids[start : start + piece_tokens]
            losses.append(-float(self._score([self.tokenizer.bos, *piece], len(piece)).mean()))
        return math.exp(sum(losses) / len(losses))

    def _tokens(
        self, prompt: list[int], max_new_tokens: int, options: dict[str, float], stop: Callable[[], bool]
    ) -> Iterator[int]:
        targets = np.zeros((1, 0), np.int64)
        generator = self._start(len(prompt) + max_new_tokens, options, targets)
        try:
            generator.append_tokens(prompt)
            for _ in range(max_new_tokens):
                if stop():
                    return
                generator.generate_next_token()
                token = int(generator.get_next_tokens()[0])
                if token in self.tokenizer.answer_ends:
                    return
                yield token
        except RuntimeError as error:
            raise EngineFailed(path=str(self._path), problem=str(error)) from error

    def _score(self, ids: list[int], scored: int) -> NDArray[np.float32]:
        """Return the log-probability of each of the last `scored` ids, given all before it."""
        # The generator keeps a pointer to the array and no copy: it must outlive the run.
        targets = np.array([ids[-scored:]], np.int64)
        try:
            generator = self._start(len(ids), {"do_sample": False}, targets)
            generator.append_tokens(ids[:-1])
            return np.array(generator.get_output(_SCORE_LOGPROBS)[0], np.float32)
        except RuntimeError as error:
            raise EngineFailed(path=str(self._path), problem=str(error)) from error

    def _start(self, max_length: int, options: dict[str, float], targets: NDArray[np.int64]) -> genai.Generator:
        parameters = genai.GeneratorParams(self._model)
        parameters.set_search_options(max_length=max_length, batch_size=1, **options)
        generator = genai.Generator(self._model, parameters)
        generator.set_model_input(_SCORE_TARGETS, targets)
        if self._adapters is not None:
            generator.set_active_adapter(self._adapters, _ADAPTER)
        return generator
