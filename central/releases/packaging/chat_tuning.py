"""Tunes a base checkpoint, shortly and in the open, until it answers in the chat format at all.

A base model continues text: it echoes a question and never ends its turn. A few steps over the pairs in
`chat_tuning.jsonl` (in this folder, Tajik school questions with a few Russian and English ones) teach it the form and
hardly any content. Plain texts in the same file hold it where it was: the loss charges the divergence from what the
base predicted on them. Tajik perplexity then rises by a few percent; without it the same learning doubled it.

Two things are trained. First the row of `<end_of_turn>`, which a base model has never seen and gives a chance of
e^-28: a logistic regression on the frozen model's own states, so that no other weight has to move for it. Then one
low-rank change of each projection, merged at the end, in steps of a fixed length along the gradient: Adam's first steps
move every weight alike, the noisy ones too, and cost Tajik more. It is a named and logged step of a release's build,
left out for a checkpoint that chats already.
"""

from __future__ import annotations

import hashlib
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

from central.releases.packaging.checkpoint import Checkpoint, checkpoint_record
from central.releases.packaging.checkpoint_card import TOKENIZER_FILE
from central.releases.packaging.kept_weights import KEPT
from central.releases.packaging.text_names import EMBEDDING
from federation.inference.prompt import ChatTokenizer, Role, Turn
from federation.learning.adapted_model import AdaptedLinear, adapter_attach, slot_columns
from federation.learning.precision import dtype_fastest
from federation.wire.rounds import Factor

PAIRS = Path(__file__).with_name("chat_tuning.jsonl")
_log = logging.getLogger(__name__)
_LONGEST_PAIR_TOKENS = 512
_ROW_STEPS = 200
_ROW_RATE = 1e-3
_ROW_DECAY = 0.1
_SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class ChatTuning:
    """How a tuning goes; the settings below were chosen on Gemma 3 270M.

    `step_length` is the L2 norm of a step of all low-rank factors together and falls to nothing over `steps`. `hold`
    weighs the divergence (nats a token) on `held_tokens` tokens of plain text a step.
    """

    steps: int = 14
    pairs_at_once: int = 6
    held_tokens: int = 64
    rank: int = 8
    step_length: float = 0.08
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
    tokenizer = ChatTokenizer(checkpoint.folder / TOKENIZER_FILE)
    pairs, texts = _examples(tokenizer)
    student = _Student(checkpoint.folder, tokenizer, rank=tuning.rank)
    surprise = _turn_end_fit(student, pairs, texts)
    _log.info("chat tuning: the end of a turn costs %.2f nats", surprise)
    for step, (loss, divergence) in enumerate(_steps(student, pairs, texts, tuning), start=1):
        _log.info("chat tuning: step %d of %d, loss %.3f, divergence %.3f", step, tuning.steps, loss, divergence)
        progress(step / tuning.steps)
    tuned = replace(checkpoint, folder=into, digest=f"{checkpoint.digest}+chat-tuning-{tuning_digest(tuning)}")
    _save(student.changes(), checkpoint, tuned)
    return tuned


def tuning_digest(tuning: ChatTuning) -> str:
    """Return 12 hex digits that name `tuning` together with the pairs and texts it learns from."""
    return hashlib.sha256(PAIRS.read_bytes() + repr(tuning).encode()).hexdigest()[:12]


class _Student:
    """The frozen model in the fastest type here, with what is trained beside it, in float32."""

    def __init__(self, folder: Path, tokenizer: ChatTokenizer, *, rank: int) -> None:
        self._model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype_fastest())  # nosec B615 # a folder here
        slots = list(slot_columns(self._model))
        adapters = adapter_attach(self._model, seed="chat tuning", rank=rank, slots=slots)
        self.factors = {slot: adapter.deltas[Factor.B.value] for slot, adapter in adapters.items()}
        self.turn_end = tokenizer.turn_end
        self.turn_end_change = torch.zeros(self._model.config.hidden_size)

    def states(self, examples: Sequence[_Example]) -> torch.Tensor:
        """Return the hidden states (n, hidden) before every learnt token of `examples`, one after another."""
        ids = torch.zeros(len(examples), max(len(example.ids) for example in examples), dtype=torch.long)
        is_learnt = torch.zeros_like(ids, dtype=torch.bool)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = torch.tensor(example.ids)
            is_learnt[row, example.start - 1 : len(example.ids) - 1] = True
        words = self._model.model.embed_tokens(ids)
        is_turn_end = (ids == self.turn_end)[..., None].float()
        words = words + (is_turn_end * self.turn_end_change * math.sqrt(words.shape[-1])).to(words.dtype)
        hidden = self._model.model(inputs_embeds=words, use_cache=False).last_hidden_state
        return hidden[is_learnt]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return float32 (n, vocabulary) for `states`."""
        logits = self._model.lm_head(states).float()
        change = torch.zeros(logits.shape[-1])
        change[self.turn_end] = 1.0
        return torch.addcmul(logits, (states.float() @ self.turn_end_change)[:, None], change)

    @torch.no_grad()
    def changes(self) -> dict[str, torch.Tensor]:
        """Return what to add to the checkpoint's float32 matrices, by their names."""
        table = torch.zeros(self._model.config.vocab_size, len(self.turn_end_change))
        table[self.turn_end] = self.turn_end_change
        changes = {EMBEDDING: table}
        for name, module in self._model.named_modules():
            if isinstance(module, AdaptedLinear):
                b = module.adapter.deltas[Factor.B.value]
                changes[f"{name}.weight"] = (module.adapter.a @ b[:, module.start : module.stop]).T
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


def _turn_end_fit(student: _Student, pairs: list[_Example], texts: list[_Example]) -> float:
    """Change the row of the token that ends a turn so that it comes where answers end and nowhere else.

    Only that token's logit moves, so each position needs its state and the weight of all other tokens together. Returns
    the mean nats that the end of an answer costs afterwards.
    """
    with torch.no_grad():
        states = torch.cat([student.states([example]) for example in pairs + texts])
        logits = student.logits(states)
        own = logits[:, student.turn_end].clone()
        logits[:, student.turn_end] = -math.inf
        others = logits.logsumexp(dim=-1)
    targets = torch.tensor([token for example in pairs + texts for token in example.ids[example.start :]])
    is_end = targets == student.turn_end
    change = torch.zeros_like(student.turn_end_change, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=_ROW_RATE)
    features = states.float()
    for _ in range(_ROW_STEPS):
        margin = own + features @ change - others
        losses = functional.softplus(torch.where(is_end, -margin, margin))
        optimiser.zero_grad()
        (losses[is_end].mean() + losses[~is_end].mean() + _ROW_DECAY * change.square().sum()).backward()
        optimiser.step()
    student.turn_end_change = change.detach()
    return float(losses[is_end].detach().mean())


def _steps(
    student: _Student, pairs: list[_Example], texts: list[_Example], tuning: ChatTuning
) -> Iterator[tuple[float, float]]:
    """Take the steps one by one and yield loss and divergence, nats a token, before each."""
    order = torch.Generator().manual_seed(tuning.seed)
    next_pairs = _endless(len(pairs), order)
    next_texts = _endless(len(texts), order)
    with torch.no_grad():
        held = [student.states([text]) for text in texts]
    for step in range(tuning.steps):
        loss = _loss(student, [pairs[next(next_pairs)] for _ in range(tuning.pairs_at_once)])
        chosen = next(next_texts)
        some = torch.randperm(len(held[chosen]), generator=order)[: tuning.held_tokens]
        divergence = _divergence(student, student.states([texts[chosen]])[some], held[chosen][some])
        (loss + tuning.hold * divergence).backward()
        _descend(list(student.factors.values()), length=tuning.step_length * (1 - step / tuning.steps))
        yield float(loss.detach()), float(divergence.detach())


def _endless(count: int, order: torch.Generator) -> Iterator[int]:
    """Yield 0 to count - 1 in a new order again and again."""
    while True:
        yield from torch.randperm(count, generator=order).tolist()


def _loss(student: _Student, pairs: list[_Example]) -> torch.Tensor:
    answers = [token for pair in pairs for token in pair.ids[pair.start :]]
    return functional.cross_entropy(student.logits(student.states(pairs)), torch.tensor(answers))


def _divergence(student: _Student, states: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """Return the mean Kullback-Leibler divergence, nats a token, from what `held` predicts to what `states` do."""
    with torch.no_grad():
        before = torch.log_softmax(student.logits(held), dim=-1)
    after = torch.log_softmax(student.logits(states), dim=-1)
    return functional.kl_div(after, before, reduction="none", log_target=True).sum(dim=-1).mean()


@torch.no_grad()
def _descend(factors: list[nn.Parameter], *, length: float) -> None:
    """Move every factor against its own gradient, all equally far and together by `length`; forget the gradients."""
    share = length / math.sqrt(len(factors))
    for factor in factors:
        if factor.grad is not None:
            factor.sub_(factor.grad * (share / factor.grad.norm().clamp_min(_SMALLEST_NORM)))
        factor.grad = None


def _save(changes: dict[str, torch.Tensor], checkpoint: Checkpoint, tuned: Checkpoint) -> None:
    """Write the checkpoint's folder anew with `changes` added to its weights, whole or not at all."""
    tuned.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{tuned.folder.name}-", dir=tuned.folder.parent) as scratch:
        work = Path(scratch) / "folder"
        work.mkdir()
        for path in checkpoint.folder.iterdir():
            if path.name.startswith(KEPT):
                # Integers of the weights as they were before.
                continue
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
