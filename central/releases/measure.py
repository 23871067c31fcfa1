"""Measures bases and adapters on the serving engine: the figures that the gate judges.

The file that is measured is the file that would ship, opened the way a school opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

from central.releases.correction_figures import Pair, corrections_figures
from central.releases.gate import AdapterReport, PerplexityPair
from central.releases.suite_comparison import SuiteReport
from federation.adapter_file import adapter_read
from federation.inference.adapter import adapter_expand
from federation.inference.engine import Engine
from federation.inference.prompt import Role, Turn
from federation.inference.suite import Suite
from federation.inference.suite_run import AnsweringEngine, questions_ask, safety_ask

THREADS = 2
Progress = Callable[[float], None]


def base_measure(*, package: Path, suites: Sequence[Suite], progress: Progress) -> SuiteReport:
    """Return how the base in the folder `package` answers the suites; its perplexity already stands in its card.

    Raises:
        PackageIncomplete, PackageCardInvalid, EngineFailed: the package cannot be run here.
    """
    return suites_measure(Engine.load(package, threads=THREADS), suites, progress=progress)


def suites_measure(engine: AnsweringEngine, suites: Sequence[Suite], *, progress: Progress) -> SuiteReport:
    """Return how `engine` answers all questions and safety prompts of `suites`."""
    prompts = sum(len(suite.prompts) for suite in suites)
    questions = sum(len(suite.questions) for suite in suites)
    first = questions / max(1, questions + prompts)
    return SuiteReport(
        suites={suite.name: suite.sha256 for suite in suites},
        outcomes=questions_ask(engine, suites, progress=lambda part: progress(first * part)),
        prompts=prompts,
        # A large model writes these for an hour, and a build that tells nothing for half an hour is taken for dead.
        findings=safety_ask(engine, suites, progress=lambda part: progress(first + (1 - first) * part)),
    )


def adapter_measure(
    *,
    package: Path,
    adapter_file: Path,
    last_file: Path | None = None,
    base_digest: str,
    texts: Mapping[str, str],
    unrelated: Sequence[Pair],
    corrections: Sequence[Pair],
    suites: Sequence[Suite],
    progress: Callable[[str, float], None],
) -> AdapterReport:
    """Return what `adapter_file` changes of the base in `package`; `texts` are by language code.

    `last_file` is the adapter that it follows: corrections are measured under that one too.

    `progress` hears, after each piece of the work, what is measured and how much of that is done. The base's own
    perplexity is taken from its card, where the gate's same engine and texts have put it.

    Raises:
        AdapterDamaged, AdapterForAnotherBase, AdapterNotFinite, AdapterRankTooLarge, AdapterShapeMismatch: no school
            could open it.
        PackageIncomplete, EngineFailed: the base cannot be run here.
    """
    engine = Engine.load(package, threads=THREADS)
    pairs = [*unrelated, *corrections]
    before = _logprobs(engine, pairs, lambda part: progress("the base on pairs", part))
    with TemporaryDirectory() as scratch:
        last = None
        if last_file is not None:
            _adapter_load(engine, last_file, base_digest, Path(scratch) / "last.onnx_adapter")
            last = _logprobs(engine, corrections, lambda part: progress("the last adapter on pairs", part))
        _adapter_load(engine, adapter_file, base_digest, Path(scratch) / "gate.onnx_adapter")
        after = _logprobs(engine, pairs, lambda part: progress("the adapter on pairs", part))
        perplexity = {}
        for done, (language, text) in enumerate(texts.items(), start=1):
            reference = engine.card.perplexity[language].shipped
            perplexity[language] = PerplexityPair(reference=reference, shipped=engine.perplexity(text))
            progress("perplexity", done / len(texts))
        suite = suites_measure(engine, suites, progress=lambda part: progress("question suite", part))
    count = len(unrelated)
    return AdapterReport(
        perplexity=perplexity,
        unrelated_loss=fmean(before[:count]) - fmean(after[:count]),
        unrelated_count=count,
        suite=suite,
        **corrections_figures(corrections, before[count:], last, after[count:]),
    )


def _adapter_load(engine: Engine, file: Path, base_digest: str, expanded: Path) -> None:
    adapter_expand(adapter_read(file, base_digest=base_digest), card=engine.card, into=expanded)
    engine.swap_adapter(expanded)


def _logprobs(engine: Engine, pairs: Sequence[Pair], progress: Progress) -> list[float]:
    logprobs = []
    for done, pair in enumerate(pairs, start=1):
        logprobs.append(engine.logprob_per_token([Turn(Role.USER, pair.question)], pair.answer))
        progress(done / len(pairs))
    return logprobs
