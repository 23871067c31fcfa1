"""Judge and show what the journey brought about: var/demo/summary.json and the same as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

GAIN_NATS = 1.0
UNRELATED_LOSS_NATS = 0.05
PERPLEXITY_INCREASE = 0.03
ADAPTER_BYTES = 2_000_000
KEY_WORD_LETTERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How school B answers a question, and the mean log-probability a token (nats) of the correction there."""

    answer: str
    logprob_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionOutcome:
    """One correction, as school B answers its question before and after."""

    question: str
    correction: str
    before: Answer
    after: Answer

    @property
    def gain_nats(self) -> float:
        """How much likelier a token of the correction became."""
        return self.after.logprob_per_token - self.before.logprob_per_token

    @property
    def is_answered(self) -> bool:
        """True when the answer holds every key word of the correction."""
        given = self.after.answer.casefold()
        return all(word in given for word in key_words(self.question, self.correction))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrelatedOutcome:
    """A prompt that nobody corrected; `before` and `after` are school B's answers."""

    prompt: str
    reference: str
    before: str
    after: str
    logprob_change_per_token: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All figures of one journey; `checks` says for each bar whether it held."""

    seconds: Mapping[str, float]
    bytes: Mapping[str, int]
    perplexity: Mapping[str, Mapping[str, float]]
    corrections: Sequence[CorrectionOutcome]
    unrelated: Sequence[UnrelatedOutcome]

    @property
    def unrelated_change_nats(self) -> float:
        """Mean change a token over the unrelated prompts; negative is a loss."""
        return fmean(outcome.logprob_change_per_token for outcome in self.unrelated)

    @property
    def checks(self) -> dict[str, bool]:
        """What the journey must show, each with whether it did."""
        return {
            "each correction gains 1.0 nat a token": all(each.gain_nats >= GAIN_NATS for each in self.corrections),
            "each answer holds the correction's key words": all(each.is_answered for each in self.corrections),
            "unrelated prompts lose at most 0.05 nat a token": self.unrelated_change_nats >= -UNRELATED_LOSS_NATS,
            "perplexity is within 3% of fp32": all(
                each["shipped"] <= each["fp32"] * (1 + PERPLEXITY_INCREASE) for each in self.perplexity.values()
            ),
            "release 2 moved at most 2 MB to each node": self.bytes["release2_per_node"] <= ADAPTER_BYTES,
        }

    @property
    def missed(self) -> list[str]:
        """The checks that did not hold."""
        return [name for name, held in self.checks.items() if not held]


def key_words(question: str, correction: str) -> set[str]:
    """Return the correction's words that carry its news: of four letters or more, and not in the question already."""
    asked = _words(question)
    news = {word for word in _words(correction) - asked if len(word) >= KEY_WORD_LETTERS}
    return news or _words(correction) - asked


def _words(text: str) -> set[str]:
    return {word for word in ("".join(c if c.isalnum() else " " for c in text.casefold())).split() if word}


def summary_write(summary: Summary, path: Path) -> None:
    """Leave the summary at `path` as JSON, with `ok` first."""
    content = {"ok": not summary.missed, "checks": summary.checks, **asdict(summary)}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def summary_print(summary: Summary, console: Console) -> None:
    """Print the same as tables."""
    _print_steps(summary, console)
    perplexity = Table("perplexity (UDHR)", "fp32", "shipped", "change")
    for language, each in summary.perplexity.items():
        change = each["shipped"] / each["fp32"] - 1
        perplexity.add_row(language, f"{each['fp32']:.2f}", f"{each['shipped']:.2f}", f"{change:+.1%}")
    console.print(perplexity)
    answers = Table("question at B", "correction", "before", "after", "nats/token")
    for outcome in summary.corrections:
        change_text = f"{outcome.before.logprob_per_token:.2f} → {outcome.after.logprob_per_token:.2f}"
        answers.add_row(outcome.question, outcome.correction, outcome.before.answer, outcome.after.answer, change_text)
    console.print(answers)
    console.print(
        f"{len(summary.unrelated)} unrelated prompts: {summary.unrelated_change_nats:+.3f} nat a token on average"
    )
    for name, held in summary.checks.items():
        console.print(f"[green]✓[/green] {name}" if held else f"[red]✗ {name}[/red]")


def _print_steps(summary: Summary, console: Console) -> None:
    steps = Table("step", "seconds", "bytes over the schools' links")
    for name, seconds in summary.seconds.items():
        moved = summary.bytes.get(name)
        steps.add_row(name, f"{seconds:.1f}", "" if moved is None else f"{moved:,}")
    steps.add_row("release 1, each node", "", f"{summary.bytes['release1_per_node']:,}")
    steps.add_row("release 2, each node", "", f"{summary.bytes['release2_per_node']:,}")
    console.print(steps)
