"""Measures an adapter on the serving engine, against its base: the figures that the gate judges.

The file that is measured is the file that would ship, opened the way a school opens it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from central.releases.gate import AdapterReport, PerplexityPair
from federation.inference.adapter import adapter_expand, adapter_read
from federation.inference.engine import Engine
from federation.inference.prompt import Role, Turn

THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question with the answer that is wanted."""

    question: str
    answer: str


def adapter_measure(
    *,
    package: Path,
    adapter_file: Path,
    base_digest: str,
    texts: Mapping[str, str],
    unrelated: Sequence[Pair],
    corrections: Sequence[Pair],
) -> AdapterReport:
    """Return what `adapter_file` changes of the base in `package`; `texts` are by language code.

    The base's own perplexity is taken from its card, where the gate's same engine and texts have put it.

    Raises:
        AdapterDamaged, AdapterForAnotherBase, AdapterShapeMismatch, AdapterNotFinite: schools could not open it.
        PackageIncomplete, EngineFailed: the base cannot be run here.
    """
    engine = Engine.load(package, threads=THREADS)
    pairs = [*unrelated, *corrections]
    before = [_logprob(engine, pair) for pair in pairs]
    adapter = adapter_read(adapter_file, base_digest=base_digest)
    with TemporaryDirectory() as scratch:
        expanded = Path(scratch) / "gate.onnx_adapter"
        adapter_expand(adapter, slots=engine.card.slots, into=expanded)
        engine.swap_adapter(expanded)
        after = [_logprob(engine, pair) for pair in pairs]
        perplexity = {
            language: PerplexityPair(
                reference=engine.card.perplexity[language].shipped, shipped=engine.perplexity(text)
            )
            for language, text in texts.items()
        }
    gains = [gained - had for had, gained in zip(before, after, strict=True)]
    return AdapterReport(
        perplexity=perplexity,
        unrelated_loss=-fmean(gains[: len(unrelated)]),
        unrelated_count=len(unrelated),
        corrections_gain=fmean(gains[len(unrelated) :]) if corrections else None,
        corrections_count=len(corrections),
    )


def _logprob(engine: Engine, pair: Pair) -> float:
    return engine.logprob_per_token([Turn(Role.USER, pair.question)], pair.answer)
