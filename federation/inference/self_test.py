"""Tries one release in a process of its own: load it, let it answer, see that it still knows the languages.

`python -m federation.inference.self_test --package DIR [--adapter FILE]` prints one line of JSON (`has_passed`, `code`,
`detail`) and ends with status 0 whatever the verdict; a process that dies has not passed. The bounds are wide: they
catch an engine that computes nonsense on this machine, and leave fine judgement to the centre's gate.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from federation.adapter_file import adapter_read
from federation.errors import FederationError, TrustError
from federation.inference.adapter import adapter_expand
from federation.inference.engine import Engine
from federation.inference.package import PackageCard
from federation.inference.prompt import Role, Turn
from federation.trust.release_bytes import index_digest, index_read

PROMPTS = ("Салом! Пойтахти Тоҷикистон кадом шаҳр аст?", "Ду ва ду чанд мешавад?", "What is water made of?")
ANSWER_TOKENS = 24
TEXTS = {language: Path(__file__).with_name(f"self_test.{language}.txt") for language in ("tg", "en")}
PERPLEXITY_FACTOR = 4.0


class AnswersEmpty(TrustError):
    """The release answered nothing to any of the fixed prompts."""

    code = "answers_empty"


class PerplexityOutOfBand(TrustError):
    """The perplexity `found` in `language` is more than four times off the card's `expected`."""

    code = "perplexity_out_of_band"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is printed."""

    has_passed: bool
    code: str
    detail: str


def release_try(*, package: Path, adapter: Path | None) -> Verdict:
    """Return whether the package, with the adapter release's `adapter.bin` where given, works on this machine."""
    try:
        engine = Engine.load(package)
        with TemporaryDirectory() as scratch:
            if adapter is not None:
                engine.swap_adapter(_expanded(adapter, package, engine.card, Path(scratch)))
            answers_judge(
                [engine.answer([Turn(Role.USER, prompt)], max_new_tokens=ANSWER_TOKENS) for prompt in PROMPTS]
            )
            perplexity = {language: engine.perplexity(path.read_text("utf-8")) for language, path in TEXTS.items()}
            perplexity_judge(perplexity, engine.card)
    except FederationError as error:
        return Verdict(has_passed=False, code=error.code, detail=str(error))
    figures = ", ".join(f"{language} {value:.1f}" for language, value in perplexity.items())
    return Verdict(has_passed=True, code="", detail=f"perplexity {figures}")


def answers_judge(answers: Sequence[str]) -> None:
    """Return if at least one answer has words.

    Raises:
        AnswersEmpty: none has.
    """
    if not any(answer.strip() for answer in answers):
        raise AnswersEmpty(prompts=len(answers))


def perplexity_judge(found: Mapping[str, float], card: PackageCard) -> None:
    """Return if each language that the card knows is within a factor of four of what the card says.

    The card was measured on the whole text of which this is the beginning, so that the two are near and never equal.

    Raises:
        PerplexityOutOfBand: one is not, or is not a number.
    """
    for language, value in found.items():
        if language not in card.perplexity:
            continue
        expected = card.perplexity[language].shipped
        is_within = math.isfinite(value) and 1 / PERPLEXITY_FACTOR <= value / expected <= PERPLEXITY_FACTOR
        if not is_within:
            raise PerplexityOutOfBand(language=language, expected=round(expected, 2), found=round(value, 2))


def _expanded(adapter: Path, package: Path, card: PackageCard, scratch: Path) -> Path:
    into = scratch / "trial.onnx_adapter"
    read = adapter_read(adapter, base_digest=index_digest(index_read(package)))
    adapter_expand(read, card=card, into=into)
    return into


def main(argv: Sequence[str]) -> int:
    """Print the verdict on the release that the command line names."""
    parser = argparse.ArgumentParser(description="Try one release.")
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--memory-bytes", type=int, help="bound of the address space")
    options = parser.parse_args(argv)
    if options.memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
    verdict = release_try(package=options.package, adapter=options.adapter)
    sys.stdout.write(json.dumps(asdict(verdict), ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
