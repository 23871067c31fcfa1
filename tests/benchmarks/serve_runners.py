"""The two sides of `bench-serve`, each in a process of its own: one line of JSON in, one out, one job at a time.

`python -m tests.benchmarks.serve_runners ours PACKAGE THREADS` and `… llama GGUF THREADS`. Jobs are the methods of a
runner; tokens are picked greedily and an ending token does not end an answer, so that both sides write as many.
llama.cpp is driven through `llama_decode` on its own batches; the wrapper's sampling in Python has no part in it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from federation.adapter_file import adapter_read, adapter_write
from federation.inference.adapter import adapter_expand
from federation.inference.batch import Batch
from federation.inference.engine import Engine, adapter_factors
from federation.inference.graph_session import NO_FACTORS, Factors, GraphSession
from federation.inference.package import TOKENIZER, package_open
from federation.inference.prompt import ChatTokenizer

PIECE_TOKENS = 300
CONTEXT_TOKENS = 1024
CHATS = 8
ADAPTER_RANK = 8


class Ours:
    """A package in our own engine."""

    def __init__(self, package: Path, threads: int) -> None:
        self._package, self._threads = package, threads
        self._tokenizer = ChatTokenizer(package / TOKENIZER)
        self._session = GraphSession(package, rows=CHATS, context_tokens=CONTEXT_TOKENS, threads=threads)
        self._batch = Batch(self._session, ends=frozenset(), memory_tokens=CHATS * CONTEXT_TOKENS)
        self._factors: Factors = NO_FACTORS

    def losses(self, text: str) -> dict[str, float]:
        """Return the nats of the whole text, in pieces that stand alone, and how many tokens it has."""
        engine = Engine(card=package_open(self._package), session=self._session, tokenizer=self._tokenizer)
        losses = engine.losses(text, piece_tokens=PIECE_TOKENS)
        return {"nats": float(sum(piece.sum() for piece in losses)), "tokens": float(sum(map(len, losses)))}

    def prefill(self, text: str, tokens: int) -> dict[str, float]:
        """Return the seconds from an unread prompt to the first token."""
        self._batch.idle_forget()
        started = time.perf_counter()
        generation = self._batch.open(self._ids(text, tokens), max_new_tokens=1, factors=self._factors)
        self._batch.step()
        seconds = time.perf_counter() - started
        self._batch.close(generation)
        return {"seconds": seconds}

    def decode(self, text: str, tokens: int, new_tokens: int, chats: int) -> dict[str, float]:
        """Return the seconds in which `chats` answers of `new_tokens` tokens grow together, prompts read before."""
        self._batch.idle_forget()
        made = [
            self._batch.open(self._ids(text, tokens, skip=chat), max_new_tokens=new_tokens + 1, factors=self._factors)
            for chat in range(chats)
        ]
        while any(generation.produced == 0 for generation in made):
            self._batch.step()
        before = sum(generation.produced for generation in made)
        started = time.perf_counter()
        while not all(generation.is_over for generation in made):
            self._batch.step()
        seconds = time.perf_counter() - started
        grown = sum(generation.produced for generation in made) - before
        for generation in made:
            self._batch.close(generation)
        return {"seconds": seconds, "tokens": float(grown)}

    def turns(self, text: str, tokens: int, answer_tokens: int, more_tokens: int) -> dict[str, float]:
        """Return the seconds to the first token of a chat's first turn and of its second."""
        self._batch.idle_forget()
        ids = self._ids(text, tokens)
        first = self._first_token(ids, answer_tokens)
        held = ids + first.pop("answer")
        second = self._first_token(held + self._ids(text, more_tokens, skip=tokens)[1:], 1)
        return {"first": first["seconds"], "second": second["seconds"]}

    def adapter(self, is_on: bool) -> dict[str, float]:
        """Switch a random adapter on every slot on or off, without loading the base again."""
        if not is_on:
            self._factors = NO_FACTORS
            return {}
        draw = np.random.default_rng(5)
        card = package_open(self._package)
        b = {slot.name: draw.normal(0, 1e-3, (ADAPTER_RANK, slot.d_out)).astype(np.float32) for slot in card.slots}
        scratch = self._package.parent
        adapter_write(scratch / "bench.bin", base_digest="bench", seed="bench", rank=ADAPTER_RANK, b=b)
        read = adapter_read(scratch / "bench.bin", base_digest="bench")
        adapter_expand(read, card=card, into=scratch / "bench.onnx_adapter")
        self._factors = adapter_factors(scratch / "bench.onnx_adapter")
        return {}

    def _first_token(self, ids: list[int], new_tokens: int) -> dict[str, Any]:
        started = time.perf_counter()
        generation = self._batch.open(ids, max_new_tokens=new_tokens, factors=self._factors)
        grown = self._batch.step()
        seconds = time.perf_counter() - started
        while not generation.is_over:
            grown += self._batch.step()
        self._batch.close(generation)
        return {"seconds": seconds, "answer": [token for _, token in grown]}

    def _ids(self, text: str, tokens: int, skip: int = 0) -> list[int]:
        return [self._tokenizer.bos, *self._tokenizer.words(text)[skip : skip + tokens - 1]]


class Llama:
    """The GGUF of the same weights in llama.cpp."""

    def __init__(self, path: Path, threads: int) -> None:
        import llama_cpp  # noqa: PLC0415 - an optional extra, built from source

        self._cpp = llama_cpp
        self._silence = llama_cpp.llama_log_callback(lambda _level, _text, _data: None)
        llama_cpp.llama_log_set(self._silence, None)
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = CHATS * CONTEXT_TOKENS, CHATS
        settings.n_batch = CONTEXT_TOKENS
        # As llama.cpp's own server: the layers with a sliding window keep no more than that.
        settings.swa_full = False
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.llama_init_from_model(self._model, settings)
        self._words_of = llama_cpp.llama_model_get_vocab(self._model)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(self._words_of)
        self._bos = llama_cpp.llama_vocab_bos(self._words_of)

    def losses(self, text: str) -> dict[str, float]:
        """Return the nats of the whole text, in pieces that stand alone, and how many tokens it has."""
        ids = self._words(text)
        nats = 0.0
        for start in range(0, len(ids), PIECE_TOKENS):
            piece = [self._bos, *ids[start : start + PIECE_TOKENS]]
            self._clear()
            self._read([(token, place, 0, True) for place, token in enumerate(piece[:-1])])
            for place, token in enumerate(piece[1:]):
                logits = self._logits(place).astype(np.float64)
                nats += float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token])
        return {"nats": nats, "tokens": float(len(ids))}

    def prefill(self, text: str, tokens: int) -> dict[str, float]:
        """Return the seconds from an unread prompt to the first token."""
        self._clear()
        ids = self._ids(text, tokens)
        started = time.perf_counter()
        self._prompt(ids, 0)
        int(self._logits(len(ids) - 1).argmax())
        return {"seconds": time.perf_counter() - started}

    def decode(self, text: str, tokens: int, new_tokens: int, chats: int) -> dict[str, float]:
        """Return the seconds in which `chats` answers of `new_tokens` tokens grow together, prompts read before."""
        self._clear()
        picked = []
        for chat in range(chats):
            ids = self._ids(text, tokens, skip=chat)
            self._prompt(ids, chat)
            picked.append(int(self._logits(len(ids) - 1).argmax()))
        started = time.perf_counter()
        for place in range(tokens, tokens + new_tokens):
            self._read([(token, place, chat, True) for chat, token in enumerate(picked)])
            picked = [int(self._logits(chat).argmax()) for chat in range(chats)]
        return {"seconds": time.perf_counter() - started, "tokens": float(new_tokens * chats)}

    def _prompt(self, ids: Sequence[int], chat: int) -> None:
        self._read([(token, place, chat, place == len(ids) - 1) for place, token in enumerate(ids)])

    def _read(self, tokens: Sequence[tuple[int, int, int, bool]]) -> None:
        """Decode one batch of (token, position, sequence, whether its logits are wanted)."""
        batch = self._cpp.llama_batch_init(len(tokens), 0, 1)
        batch.n_tokens = len(tokens)
        for index, (token, place, chat, is_wanted) in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, place
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, chat
            batch.logits[index] = int(is_wanted)
        status = self._cpp.llama_decode(self._context, batch)
        self._cpp.llama_batch_free(batch)
        if status:
            raise RuntimeError(f"llama_decode: {status}")

    def _logits(self, index: int) -> np.ndarray:
        pointer = self._cpp.llama_get_logits_ith(self._context, index)
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary,))

    def _clear(self) -> None:
        self._cpp.llama_memory_clear(self._cpp.llama_get_memory(self._context), True)  # noqa: FBT003 - a C function

    def _words(self, text: str) -> list[int]:
        content = text.encode()
        tokens = (self._cpp.llama_token * len(content))()
        count = self._cpp.llama_tokenize(self._words_of, content, len(content), tokens, len(content), False, False)  # noqa: FBT003 - a C function
        return list(tokens[:count])

    def _ids(self, text: str, tokens: int, skip: int = 0) -> list[int]:
        return [self._bos, *self._words(text)[skip : skip + tokens - 1]]


def peak_bytes() -> int:
    """Return the largest resident memory that this process has had."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main(argv: Sequence[str]) -> int:
    """Load the side that the command line names and do the jobs on standard input."""
    side, path, threads = argv
    runner = {"ours": Ours, "llama": Llama}[side](Path(path), int(threads))
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        name = job.pop("job")
        answer = {"bytes": peak_bytes()} if name == "peak" else getattr(runner, name)(**job)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
