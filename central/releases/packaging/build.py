"""Builds a package from a prepared checkpoint: trim, tune to chat, measure in float32, export, assemble.

A finished step's output stays in the work folder under a name made from everything that it depends on, so that a build
that was cut goes on where it was, and a second one of the same checkpoint only copies. The package's folder appears
whole or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from central.releases.packaging.assemble import Bench, languages_beyond, package_assemble
from central.releases.packaging.chat_tuning import ChatTuning, checkpoint_tune, tuning_digest
from central.releases.packaging.checkpoint import Checkpoint, Progress, checkpoint_open
from central.releases.packaging.errors import QuantisationTooLossy
from central.releases.packaging.export import graph_export
from central.releases.packaging.reference import (
    LARGEST_WHOLE,
    ReferenceMeasures,
    reference_open,
    reference_stream,
    reference_whole,
)
from central.releases.packaging.step_folder import step_finish
from central.releases.packaging.stored_floats import StoredFloats
from central.releases.packaging.trim import checkpoint_trim, trim_digest
from central.releases.packaging.trim_perplexity import MEASURE, losses_open
from central.releases.packaging.trim_words import Trimming
from central.releases.packaging.workshop import Workshop
from central.releases.recipe import Recipe
from federation.inference.package import PackageCard, VocabularyLoss


def package_build(
    *,
    checkpoint: Checkpoint,
    texts: Mapping[str, str],
    into: Path,
    work: Path,
    progress: Progress,
    recipe: Recipe,
    tune: bool = True,
    threads: int = 2,
    largest_whole: int = LARGEST_WHOLE,
) -> PackageCard:
    """Leave the package of `checkpoint` at `into` and return its card; `texts` are by language.

    `tune` adds the short chat tuning; the fp32 perplexity is that of the trimmed and tuned checkpoint, and
    a model of more weights than `largest_whole` is never in memory as a whole for it. Whatever was at `into` is
    replaced at the end.

    Raises:
        TrimTooLossy: the recipe's languages lose words.
        TrimPerplexityTooHigh: the words that they lose cost too much.
        ExporterRefused: the recipe's exporter does not know the checkpoint.
        GraphUnexpected: the checkpoint's graph is not what the steps can work on.
        QuantisationTooLossy: the package's perplexity is above fp32 by more than the recipe allows.
        PackageTooLarge: no choice of bits makes a package as small as the recipe asks.
            Nothing is left at `into` then.
    """
    shop = Workshop(work=work, progress=progress, threads=threads)
    trimmed, vocabulary = _trimmed(shop, checkpoint, recipe) if recipe.languages else (checkpoint, {})
    tuned = _tuned(shop, trimmed) if tune else trimmed
    reference = _reference(shop, tuned, texts, largest_whole=largest_whole)
    exported = _exported(shop, tuned, recipe.exporter)
    bench = Bench(
        shop=shop,
        checkpoint=tuned,
        exported=exported,
        recipe=recipe,
        texts=texts,
        reference=reference,
        vocabulary=vocabulary,
    )
    draft = into.with_name(f".{into.name}-draft")
    try:
        card = package_assemble(bench, draft)
        _check_loss(card, recipe.max_increase)
        shutil.rmtree(into, ignore_errors=True)
        draft.rename(into)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def _trimmed(shop: Workshop, checkpoint: Checkpoint, recipe: Recipe) -> tuple[Checkpoint, Mapping[str, VocabularyLoss]]:
    """Return the trimmed checkpoint and what trimming cost, by language."""
    chosen = trim_digest(recipe.languages, Trimming())
    folder, is_finished = shop.place("trimmed", checkpoint.digest, chosen, MEASURE)
    with shop.step("vocabulary") as part:
        if not is_finished:
            checkpoint_trim(
                checkpoint=checkpoint, languages=recipe.languages, into=folder / "checkpoint", progress=part
            )
            step_finish(folder)
    return checkpoint_open(folder / "checkpoint"), losses_open(folder / "checkpoint")


def _tuned(shop: Workshop, checkpoint: Checkpoint) -> Checkpoint:
    folder, is_finished = shop.place("tuned", checkpoint.digest, tuning_digest(ChatTuning()))
    with shop.step("chat tuning") as part:
        if not is_finished:
            checkpoint_tune(checkpoint=checkpoint, into=folder / "checkpoint", progress=part)
            step_finish(folder)
    return checkpoint_open(folder / "checkpoint")


def _reference(
    shop: Workshop, checkpoint: Checkpoint, texts: Mapping[str, str], *, largest_whole: int
) -> ReferenceMeasures:
    """Return what float32 says of the texts."""
    causes = (checkpoint.digest, json.dumps(dict(texts), sort_keys=True))
    folder, is_finished = shop.place("reference", *causes)
    with shop.step("fp32 reference") as part:
        if not is_finished:
            is_large = StoredFloats(checkpoint.folder).weights > largest_whole
            measure = reference_stream if is_large else partial(reference_whole, threads=shop.threads)
            measure(checkpoint, texts=texts, into=folder, progress=part)
            step_finish(folder)
    return reference_open(folder)


def _exported(shop: Workshop, checkpoint: Checkpoint, exporter: str) -> Path:
    folder, is_finished = shop.place("exported", checkpoint.digest, exporter)
    with shop.step("export"):
        if not is_finished:
            graph_export(checkpoint=checkpoint, into=folder, log=folder / "exporter.log", exporter=exporter)
            step_finish(folder)
    return folder


def _check_loss(card: PackageCard, allowed: float) -> None:
    for language in languages_beyond(card, allowed):
        measured = card.perplexity[language]
        raise QuantisationTooLossy(
            language=language, shipped=measured.shipped, reference=measured.fp32, allowed=allowed
        )
