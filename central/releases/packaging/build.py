"""Builds a package from a prepared checkpoint: tune to chat, export, quantise, open slots, measure, write the card.

A finished step's output stays in the work folder under a name made from everything that it depends on, so that a build
that was cut goes on where it was, and a second one of the same checkpoint only copies. The package's folder appears
whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from central.releases.packaging.chat_tuning import ChatTuning, checkpoint_tune, tuning_digest
from central.releases.packaging.checkpoint import Checkpoint, Progress, checkpoint_open
from central.releases.packaging.errors import QuantisationTooLossy
from central.releases.packaging.export import graph_export
from central.releases.packaging.package_files import package_gather
from central.releases.packaging.quantise import BITS, BLOCK, WEIGHTS, graph_quantise
from central.releases.packaging.reference import Reference, reference_export
from central.releases.packaging.scoring import scoring_add
from central.releases.packaging.slots import SlotShape, slots_add
from federation.inference.adapter import MAX_RANK
from federation.inference.engine import Engine
from federation.inference.package import FORMAT, PackageCard, Perplexity, Slot, card_write, package_open
from federation.inference.package import TOKENIZER as TOKENIZER_FILE

_log = logging.getLogger(__name__)
ALLOWED_INCREASE = 0.03
_STEPS = "2"


@dataclass(frozen=True)
class Workshop:
    """Where finished steps are kept, how far the build is told to be, and how many threads it may use."""

    work: Path
    progress: Progress
    threads: int

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[float], None]]:
        """Tell the beginning and the end of the step `name` and log its seconds; yields how to tell the part done."""
        started = time.monotonic()
        self.progress(name, 0.0)
        yield lambda part: self.progress(name, part)
        self.progress(name, 1.0)
        _log.info("package: %s took %.1f s", name, time.monotonic() - started)

    def place(self, name: str, *causes: str) -> tuple[Path, bool]:
        """Return the folder of step `name` for `causes`, and whether it is already finished."""
        key = hashlib.sha256("\n".join([_STEPS, *causes]).encode()).hexdigest()[:16]
        folder = self.work / f"{name}-{key}"
        if (folder / ".finished").exists():
            return folder, True
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder, False


def package_build(
    *,
    checkpoint: Checkpoint,
    texts: Mapping[str, str],
    into: Path,
    work: Path,
    progress: Progress,
    tune: bool = True,
    threads: int = 2,
    allowed_increase: float = ALLOWED_INCREASE,
) -> PackageCard:
    """Leave the package of `checkpoint` at `into` and return its card; `texts` (by language) give its perplexity.

    `tune` adds the short chat tuning; the fp32 perplexity is that of the tuned checkpoint. Whatever was at `into` is
    replaced at the end.

    Raises:
        GraphUnexpected: the checkpoint's graph is not what the steps can work on.
        QuantisationTooLossy: the package's perplexity is above fp32 by more than the share `allowed_increase`;
            nothing is left at `into`.
    """
    shop = Workshop(work=work, progress=progress, threads=threads)
    tuned = _tuned(shop, checkpoint) if tune else checkpoint
    reference = _reference(shop, tuned, texts)
    exported = _exported(shop, tuned)
    draft = into.with_name(f".{into.name}-draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        slots = _assembled(shop, tuned, exported, draft)
        card = _judged(shop, tuned, draft, slots=slots, texts=texts, reference=reference)
        _check_loss(card, allowed_increase)
        shutil.rmtree(into, ignore_errors=True)
        draft.rename(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def _tuned(shop: Workshop, checkpoint: Checkpoint) -> Checkpoint:
    folder, is_finished = shop.place("tuned", checkpoint.digest, tuning_digest(ChatTuning()))
    with shop.step("chat tuning") as part:
        if not is_finished:
            checkpoint_tune(checkpoint=checkpoint, into=folder / "checkpoint", progress=part)
            _finish(folder)
    return checkpoint_open(folder / "checkpoint")


def _reference(shop: Workshop, checkpoint: Checkpoint, texts: Mapping[str, str]) -> dict[str, float]:
    """Return the fp32 perplexity by language, by optimum's graph, which is thrown away afterwards."""
    folder, is_finished = shop.place("reference", checkpoint.digest, json.dumps(dict(texts), sort_keys=True))
    answers = folder / "perplexity.json"
    with shop.step("fp32 reference") as part:
        if not is_finished:
            graph = folder / "graph"
            reference_export(checkpoint=checkpoint, into=graph, log=folder / "optimum.log")
            part(0.5)
            engine = Reference(graph, tokenizer=checkpoint.folder / TOKENIZER_FILE, threads=shop.threads)
            measured = {language: engine.perplexity(text) for language, text in texts.items()}
            answers.write_text(json.dumps(measured), "utf-8")
            del engine
            shutil.rmtree(graph)
            _finish(folder)
    result: dict[str, float] = json.loads(answers.read_text("utf-8"))
    return result


def _exported(shop: Workshop, checkpoint: Checkpoint) -> Path:
    folder, is_finished = shop.place("exported", checkpoint.digest)
    with shop.step("export"):
        if not is_finished:
            graph_export(checkpoint=checkpoint, into=folder, log=folder / "builder.log")
            _finish(folder)
    return folder


def _assembled(shop: Workshop, checkpoint: Checkpoint, exported: Path, draft: Path) -> tuple[SlotShape, ...]:
    folder, _ = shop.place("quantised", checkpoint.digest)
    with shop.step("quantise") as part:
        graph = graph_quantise(source=exported, into=folder, progress=part)
        slots = slots_add(graph)
        scoring_add(graph)
        package_gather(checkpoint=checkpoint, exported=exported, graph=graph, weights=folder / WEIGHTS, into=draft)
        shutil.rmtree(folder)
    return slots


def _judged(
    shop: Workshop,
    checkpoint: Checkpoint,
    draft: Path,
    *,
    slots: tuple[SlotShape, ...],
    texts: Mapping[str, str],
    reference: Mapping[str, float],
) -> PackageCard:
    """Write the card, with the perplexity that the package's own engine has."""
    with shop.step("measure") as part:
        card = _card(checkpoint, draft, slots=slots, perplexity={})
        card_write(card, folder=draft)
        engine = Engine.load(draft, threads=shop.threads)
        perplexity = {}
        for done, (language, text) in enumerate(texts.items(), start=1):
            perplexity[language] = Perplexity(fp32=reference[language], shipped=engine.perplexity(text))
            part(done / len(texts))
        card_write(_card(checkpoint, draft, slots=slots, perplexity=perplexity), folder=draft)
    return package_open(draft)


def _check_loss(card: PackageCard, allowed: float) -> None:
    for language, measured in card.perplexity.items():
        if measured.shipped > measured.fp32 * (1 + allowed):
            raise QuantisationTooLossy(
                language=language, shipped=measured.shipped, reference=measured.fp32, allowed=allowed
            )


def _card(
    checkpoint: Checkpoint, draft: Path, *, slots: tuple[SlotShape, ...], perplexity: Mapping[str, Perplexity]
) -> PackageCard:
    config = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    settings = json.loads((draft / "genai_config.json").read_text("utf-8"))["model"]
    return PackageCard(
        format=FORMAT,
        name=checkpoint.name,
        architecture=checkpoint.architecture,
        licence=checkpoint.licence,
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        vocab_size=config["vocab_size"],
        context_tokens=settings["context_length"],
        quantisation=f"int{BITS}-block{BLOCK}",
        max_rank=MAX_RANK,
        slots=tuple(Slot(slot.name, slot.d_in, slot.d_out) for slot in slots),
        perplexity=perplexity,
    )


def _finish(folder: Path) -> None:
    """Mark a step as finished, once its files are safe on the disk."""
    os.sync()
    (folder / ".finished").touch()
