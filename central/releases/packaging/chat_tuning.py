"""Tunes a base checkpoint, shortly and in the open, until it answers in the chat format at all.

A base model continues text: it echoes a question and never ends its turn. A few steps over the pairs in
`chat_tuning.jsonl` (in this folder, Tajik school questions with a few Russian and English ones) teach it the form and
hardly any content. Plain texts in the same file hold it where it was: the loss charges every bit of divergence from what
the base predicted on them, and the Tajik perplexity stays while the same steps without it double it.

What is trained: the rows of the two turn tokens, which a base model has never seen, and one low-rank change of each
projection, merged at the end. The low-rank change takes steps of a fixed length along the gradient; Adam's first steps
move every weight alike, the noisy ones too, and cost Tajik more. It is a named and logged step of a release's build,
left out for a checkpoint that chats already.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from central.releases.packaging.checkpoint import Checkpoint, checkpoint_record, file_digest
from federation.inference.prompt import ChatTokenizer, Role, Turn
from federation.learning.adapted_model import AdaptedLinear, adapter_attach, slot_columns

PAIRS = Path(__file__).with_name("chat_tuning.jsonl")
_log = logging.getLogger(__name__)
_EMBEDDING = "model.embed_tokens.weight"
_LONGEST_PAIR_TOKENS = 512


@dataclass(frozen=True)
class ChatTuning:
    """How a tuning goes; the settings below were chosen on Gemma 3 270M.

    `step_length` is the L2 norm of a step of all low-rank factors together, `row_rate` the Adam rate of the turn
    tokens' rows; both fall to nothing over `steps`. `hold` weighs the divergence (nats a token) on plain text.
    """

    steps: int = 9
    pairs_at_once: int = 6
    texts_at_once: int = 2
    rank: int = 8
    step_length: float = 0.08
    row_rate: float = 7e-4
    hold: float = 3.0
    seed: int = 7


@dataclass(frozen=True)
class _Example:
    """Token ids; those from `start` on are learnt from or held."""

    ids: list[int]
    start: int


def checkpoint_tune(
    *, checkpoint: Checkpoint, into: Path, progress: Callable[[float], None], tuning: ChatTuning | None = None
) -> Checkpoint:
    """Leave a copy of `checkpoint` at `into` that answers in the chat format, and describe it.

    The same checkpoint, settings and machine give the same weights. A folder that was at `into` is replaced at the end.
    """
    tuning = tuning or ChatTuning()
    tokenizer = ChatTokenizer(checkpoint.folder / "tokenizer.json")
    pairs, texts = _examples(tokenizer)
    student = _Student(checkpoint.folder, tokenizer, rank=tuning.rank)
    for step, (loss, divergence) in enumerate(_steps(student, pairs, texts, tuning), start=1):
        _log.info("chat tuning: step %d of %d, loss %.3f, divergence %.3f", step, tuning.steps, loss, divergence)
        progress(step / tuning.steps)
    tuned = replace(checkpoint, folder=into, digest=f"{checkpoint.digest}+chat-tuning-{file_digest(PAIRS)[7:19]}")
    _save(student.changes(), checkpoint, tuned)
    return tuned


class _Student:
    """The frozen model in bfloat16 with what is trained beside it, in float32."""

    def __init__(self, folder: Path, tokenizer: ChatTokenizer, *, rank: int) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self.factors = adapter_attach(self._model, seed="chat tuning", rank=rank, slots=list(slot_columns(self._model)))
        self._tokens = torch.tensor([tokenizer.turn_start, tokenizer.turn_end])
        self.rows = nn.Parameter(torch.zeros(2, self._model.config.hidden_size))

    def states(self, examples: Sequence[_Example]) -> torch.Tensor:
        """Return the hidden states (n, hidden) before every learnt token of `examples`, one after another."""
        ids = torch.zeros(len(examples), max(len(example.ids) for example in examples), dtype=torch.long)
        is_learnt = torch.zeros_like(ids, dtype=torch.bool)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            is_learnt[row, example.start - 1 : len(example.ids) - 1] = True
        words = self._model.model.embed_tokens(ids)
        is_turn_token = (ids[..., None] == self._tokens).to(self.rows.dtype)
        moved = is_turn_token @ self.rows * math.sqrt(words.shape[-1])
        hidden = self._model.model(inputs_embeds=words + moved.to(words.dtype), use_cache=False).last_hidden_state
        return hidden[is_learnt]  # type: ignore[no-any-return]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return float32 (n, vocabulary) for `states`, the rows' own change included."""
        plain = self.base_logits(states)
        return plain.index_add(-1, self._tokens, states.float() @ self.rows.T)

    def base_logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return float32 (n, vocabulary) for `states`, with the rows as they were."""
        return self._model.lm_head(states).float()  # type: ignore[no-any-return]

    @torch.no_grad()
    def changes(self) -> dict[str, torch.Tensor]:
        """Return what to add to the checkpoint's float32 matrices, by their names."""
        table = torch.zeros(self._model.config.vocab_size, self.rows.shape[1])
        table[self._tokens] = self.rows
        changes = {_EMBEDDING: table}
        for name, module in self._model.named_modules():
            if isinstance(module, AdaptedLinear):
                changes[f"{name}.weight"] = (module.a.float() @ module.b[:, module.start : module.stop]).T
        return changes


def _examples(tokenizer: ChatTokenizer) -> tuple[list[_Example], list[_Example]]:
    """Return the pairs, of which the answers are learnt, and the plain texts, which are held whole."""
    pairs, texts = [], []
    for line in PAIRS.read_text("utf-8").splitlines():
        entry = json.loads(line)
        if "text" in entry:
            texts.append(_Example([tokenizer.bos, *tokenizer.words(entry["text"])], 1))
            continue
        question = tokenizer.prompt([Turn(Role.USER, entry["prompt"])], allowed_tokens=_LONGEST_PAIR_TOKENS)
        pairs.append(_Example(question + tokenizer.answer(entry["answer"]), len(question)))
    return pairs, texts


def _steps(
    student: _Student, pairs: list[_Example], texts: list[_Example], tuning: ChatTuning
) -> Iterator[tuple[float, float]]:
    """Take the steps one by one and yield loss and divergence, nats a token, before each."""
    optimiser = torch.optim.Adam([student.rows], lr=tuning.row_rate)
    order = torch.Generator().manual_seed(tuning.seed)
    next_pairs = _endless(len(pairs), order)
    next_texts = _endless(len(texts), order)
    with torch.no_grad():
        held = [student.states([text]) for text in texts]
    for step in range(tuning.steps):
        left = 1 - step / tuning.steps
        loss = _loss(student, [pairs[next(next_pairs)] for _ in range(tuning.pairs_at_once)])
        chosen = [next(next_texts) for _ in range(tuning.texts_at_once)]
        divergence = _divergence(student, [texts[i] for i in chosen], torch.cat([held[i] for i in chosen]))
        optimiser.zero_grad()
        (loss + tuning.hold * divergence).backward()  # type: ignore[no-untyped-call]
        optimiser.param_groups[0]["lr"] = tuning.row_rate * left
        optimiser.step()
        _descend(list(student.factors.values()), length=tuning.step_length * left)
        yield float(loss.detach()), float(divergence.detach())


def _endless(count: int, order: torch.Generator) -> Iterator[int]:
    """Yield 0 to count - 1 in a new order again and again."""
    while True:
        yield from torch.randperm(count, generator=order).tolist()


def _loss(student: _Student, pairs: list[_Example]) -> torch.Tensor:
    answers = [token for pair in pairs for token in pair.ids[pair.start :]]
    return functional.cross_entropy(student.logits(student.states(pairs)), torch.tensor(answers))


def _divergence(student: _Student, texts: list[_Example], held: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence, nats a token, from what the base predicts from `held`."""
    with torch.no_grad():
        before = torch.log_softmax(student.base_logits(held), dim=-1)
    after = torch.log_softmax(student.logits(student.states(texts)), dim=-1)
    return functional.kl_div(after, before, reduction="none", log_target=True).sum(dim=-1).mean()


@torch.no_grad()
def _descend(factors: list[nn.Parameter], *, length: float) -> None:
    """Move all factors together by `length` against their gradient, and forget the gradient."""
    gradients = [factor.grad for factor in factors if factor.grad is not None]
    norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
    for factor in factors:
        if factor.grad is not None and norm > 0:
            factor -= factor.grad * (length / norm)
        factor.grad = None


def _save(changes: dict[str, torch.Tensor], checkpoint: Checkpoint, tuned: Checkpoint) -> None:
    """Write the checkpoint's folder anew with `changes` added to its weights, whole or not at all."""
    tuned.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{tuned.folder.name}-", dir=tuned.folder.parent) as scratch:
        work = Path(scratch) / "folder"
        work.mkdir()
        for path in checkpoint.folder.iterdir():
            if path.suffix != ".safetensors":
                shutil.copyfile(path, work / path.name)
                continue
            weights = load_file(path)
            for name in weights.keys() & changes.keys():
                weights[name] = (weights[name].float() + changes[name]).to(weights[name].dtype).contiguous()
            save_file(weights, work / path.name, metadata={"format": "pt"})
        checkpoint_record(replace(tuned, folder=work))
        if tuned.folder.exists():
            shutil.rmtree(tuned.folder)
        work.rename(tuned.folder)
