"""Puts a package together from the exported graph: rounds its matrices, opens slots, measures it, writes the card.

By name every matrix is rounded alike. Mixed, each gets the bits that the budget of perplexity or of bytes leaves it,
and the card says what was chosen and why. Integers that the checkpoint came with are never rounded to other ones; small
floats are made of what they stand for.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import onnx

from central.releases.packaging.bit_plan import Plan, plan_bytes, plan_ladder, plan_under
from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.cache_sizes import cache_declare
from central.releases.packaging.calibration import OPENINGS, calibration_write, language_shares
from central.releases.packaging.checkpoint import Checkpoint
from central.releases.packaging.errors import PackageTooLarge
from central.releases.packaging.export import context_served
from central.releases.packaging.float_weights import e4m3_compensate, e4m3_round, float16_round
from central.releases.packaging.graph_floats import FloatRounder, graph_narrow
from central.releases.packaging.graph_rewrite import WEIGHTS
from central.releases.packaging.kept_weights import kept_open
from central.releases.packaging.measured import package_measure
from central.releases.packaging.mixed import DRAFT_FORM, MixedRounding
from central.releases.packaging.package_files import package_gather
from central.releases.packaging.quantise import Rounder, WordOrder, graph_quantise, kept_first, nearest
from central.releases.packaging.reference import ReferenceMeasures
from central.releases.packaging.scoring import scoring_add
from central.releases.packaging.sensitivity import Sensitivity, sensitivity_measure
from central.releases.packaging.slots import slots_add
from central.releases.packaging.workshop import Workshop
from central.releases.recipe import FP8, FP16, INT4, INT8, LANGUAGES, MIXED, Recipe
from federation.inference.adapter import MAX_RANK
from federation.inference.engine import Engine
from federation.inference.package import (
    FORMAT,
    MatrixChoice,
    PackageCard,
    Slot,
    VocabularyLoss,
    card_write,
    package_open,
)

_FORMS = {INT8: (8, 32), INT4: (4, 32)}
_SEED = 11
# What the card says of one matrix.
_CARD_BYTES = 160


class GraphMaker(Protocol):
    """Makes the graph that ships of the float one."""

    def __call__(self, *, source: Path, floats: Path, into: Path, progress: Callable[[float], None]) -> onnx.ModelProto:
        """Write the matrices of `floats` for the graph in `source` to `into`, and return the graph that reads them."""


@dataclass(frozen=True)
class Bench:
    """All that lies ready: the graph in `exported`, for the matrices of `checkpoint`, and what fp32 says of `texts`.

    `vocabulary` is what trimming cost, by language; empty where nothing was trimmed.
    """

    shop: Workshop
    checkpoint: Checkpoint
    exported: Path
    recipe: Recipe
    texts: Mapping[str, str]
    reference: ReferenceMeasures
    vocabulary: Mapping[str, VocabularyLoss]


def package_assemble(bench: Bench, draft: Path) -> PackageCard:
    """Leave the package at `draft`, with its card, and return that.

    Raises:
        GraphUnexpected: the graph is not what the steps can work on.
        PackageTooLarge: no choice of bits makes it as small as the recipe asks.
    """
    quantisation = bench.recipe.quantisation
    if quantisation == FP16:
        _write(bench, draft, _in_floats(lambda _part, matrix: float16_round(matrix)), name=FP16)
        return _judged(bench, draft, matrices=())
    if quantisation == FP8:
        return _fp8(bench, draft)
    kept = kept_open(bench.checkpoint.folder)
    if quantisation == MIXED:
        return _mixed(bench, draft, kept)
    bits, block = _FORMS[quantisation]
    rounder = kept_first(kept, nearest(bits=bits, block=block))
    _write(bench, draft, _in_blocks(rounder), name=f"{quantisation}-block{block}")
    return _judged(bench, draft, matrices=())


def languages_beyond(card: PackageCard, allowed: float) -> list[str]:
    """Return the languages whose perplexity is above fp32's by more than `allowed` (0.03 is three percent)."""
    # What is no number is within no bound.
    return [language for language, pair in card.perplexity.items() if not pair.shipped <= pair.fp32 * (1 + allowed)]


def _fp8(bench: Bench, draft: Path) -> PackageCard:
    """Round to nearest; where that loses more than the recipe allows, let columns make up for one another.

    The second takes a pass of the float model over a text, for which a large one has no memory, and loses less anyway.
    """
    _write(bench, draft, _in_floats(lambda _part, matrix: e4m3_round(matrix)), name=FP8)
    card = _judged(bench, draft, matrices=())
    if not languages_beyond(card, bench.recipe.max_increase):
        return card
    _write_draft(bench, draft)
    felt = _sensitivities(bench, draft)
    rounder = _in_floats(lambda part, matrix: e4m3_compensate(matrix, moments=felt[part].moments))
    _write(bench, draft, rounder, name=FP8)
    return _judged(bench, draft, matrices=())


def _mixed(bench: Bench, draft: Path, kept: Mapping[str, BlockWeights]) -> PackageCard:
    _write_draft(bench, draft)
    rounding = MixedRounding(bench.checkpoint.folder, kept, _sensitivities(bench, draft))
    with bench.shop.step("weigh") as part:
        options = rounding.options(part)
    ladder = plan_ladder(options)
    if bench.recipe.max_bytes is None:
        plan = _within_perplexity(bench, draft, rounding, ladder)
    else:
        others = _bytes(draft) - rounding.drafted_bytes
        plan = _within_bytes(bench.recipe.max_bytes, others + len(options) * _CARD_BYTES, ladder)
    words = rounding.words(plan)
    _write(bench, draft, _in_blocks(rounding.rounder(plan), words), name=MIXED, words=words)
    return _judged(bench, draft, matrices=_choices(plan), words=words)


def _write_draft(bench: Bench, draft: Path) -> None:
    """Write the package that writes the calibration text."""
    bits, block = DRAFT_FORM
    _write(bench, draft, _in_blocks(nearest(bits=bits, block=block)), name="draft")


def _sensitivities(bench: Bench, draft: Path) -> Mapping[str, Sensitivity]:
    with bench.shop.step("calibration text") as part:
        engine = Engine.load(draft, threads=bench.shop.threads, rows=len(OPENINGS))
        written = calibration_write(engine, seed=_SEED, progress=part)
        words = engine.card.vocab_size
        shares = language_shares(engine.tokenizer, bench.recipe.languages or LANGUAGES, words=words)
        del engine
    with bench.shop.step("sensitivity") as part:
        return sensitivity_measure(bench.checkpoint.folder, texts=written, shares=shares, progress=part)


def _bytes(package: Path) -> int:
    return sum(path.stat().st_size for path in package.iterdir())


def _within_bytes(max_bytes: int, others: int, ladder: Sequence[Plan]) -> Plan:
    """Return the plan of least loss under `max_bytes`, of which all beside the matrices takes `others`."""
    plan = plan_under(ladder, max_bytes=max_bytes - others)
    if plan is None:
        raise PackageTooLarge(max_bytes=max_bytes, smallest_bytes=others + plan_bytes(ladder[-1]))
    return plan


def _within_perplexity(bench: Bench, draft: Path, rounding: MixedRounding, ladder: Sequence[Plan]) -> Plan:
    """Return the smallest plan that was measured to stay within the budget; the first one is taken to."""
    good, bad = 0, len(ladder)
    budget = math.log1p(bench.recipe.max_increase)
    predicted = [sum(choice.loss for choice in plan.values()) for plan in ladder]
    rung = max((n for n, loss in enumerate(predicted) if loss <= budget), default=0)
    with bench.shop.step("search") as part:
        while bad - good > 1:
            rung = min(max(rung, good + 1), bad - 1)
            words = rounding.words(ladder[rung])
            _write(bench, draft, _in_blocks(rounding.rounder(ladder[rung]), words), name="draft", words=words)
            if _is_within(bench, draft):
                good = rung
            else:
                bad = rung
            rung = (good + bad) // 2
            part(1 - math.log1p(bad - good - 1) / math.log1p(len(ladder)))
    return ladder[good]


def _is_within(bench: Bench, draft: Path) -> bool:
    engine = Engine.load(draft, threads=bench.shop.threads)
    allowed = 1 + bench.recipe.max_increase
    return all(
        engine.perplexity(text) <= bench.reference.perplexity[language] * allowed
        for language, text in bench.texts.items()
    )


def _in_blocks(rounder: Rounder, words: WordOrder | None = None) -> GraphMaker:
    return partial(graph_quantise, rounder=rounder, words=words)


def _in_floats(rounder: FloatRounder) -> GraphMaker:
    return partial(graph_narrow, rounder=rounder)


def _write(bench: Bench, draft: Path, maker: GraphMaker, *, name: str, words: WordOrder | None = None) -> None:
    """Write the package with a card that says nothing of its quality yet."""
    folder, _ = bench.shop.place("quantised", bench.checkpoint.digest)
    shutil.rmtree(draft, ignore_errors=True)
    with bench.shop.step("quantise") as part:
        graph = maker(source=bench.exported, floats=bench.checkpoint.folder, into=folder, progress=part)
        slots = slots_add(graph)
        scoring_add(graph)
        cache_declare(graph)
        package_gather(checkpoint=bench.checkpoint, graph=graph, weights=folder / WEIGHTS, into=draft, words=words)
        shutil.rmtree(folder)
    config = json.loads((bench.checkpoint.folder / "config.json").read_text("utf-8"))
    card = PackageCard(
        format=FORMAT,
        name=bench.checkpoint.name,
        architecture=bench.checkpoint.architecture,
        licence=bench.checkpoint.licence,
        hidden_size=config["hidden_size"],
        layers=config["num_hidden_layers"],
        vocab_size=config["vocab_size"],
        context_tokens=context_served(bench.checkpoint),
        quantisation=name,
        max_rank=MAX_RANK,
        slots=tuple(Slot(slot.name, slot.d_in, slot.d_out) for slot in slots),
        perplexity={},
        languages=bench.recipe.languages,
        vocabulary=bench.vocabulary,
    )
    card_write(card, folder=draft)


def _judged(
    bench: Bench, draft: Path, *, matrices: tuple[MatrixChoice, ...], words: WordOrder | None = None
) -> PackageCard:
    """Complete the card with what the package's own engine says of the texts."""
    measures = package_measure(draft, shop=bench.shop, texts=bench.texts, reference=bench.reference, words=words)
    card = replace(package_open(draft), perplexity=measures.perplexity, parity=measures.parity, matrices=matrices)
    card_write(card, folder=draft)
    return card


def _choices(plan: Plan) -> tuple[MatrixChoice, ...]:
    return tuple(
        MatrixChoice(
            part=part,
            bits=choice.bits,
            block=choice.block,
            predicted_loss=round(choice.loss, 6),
            is_kept=choice.is_kept,
        )
        for part, choice in plan.items()
    )
