"""`make bench-serve`: a package of the stand-in against llama.cpp on the GGUF of the same weights, in one run.

Both sides get the same words, the same threads and the same jobs in turn, round after round; figures are medians of the
rounds. The package is made of the checkpoint as it is (no chat tuning), the vocabulary trimmed to tg, ru and en, its
bits mixed under a number of bytes. Rounds: 5, or BENCH_ROUNDS.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import django
from rich.console import Console

from tests.benchmarks.report import BENCH_ROOT, Row, report, row

WORK = BENCH_ROOT / "serve"
THREADS = min(2, os.cpu_count() or 1)
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
GGUF_SHARE = 0.65
MAX_INCREASE = 0.15
CHATS = 8
PROMPT_TOKENS, LONG_TOKENS = 64, 512
NEW_TOKENS = 48
SECOND_TURN_TOKENS = 24
MEMORY_CHATS, MEMORY_TOKENS = 4, 1000
_console = Console(stderr=True)


class Side:
    """One process of `tests.benchmarks.serve_runners`."""

    def __init__(self, name: str, path: Path) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.serve_runners", name, str(path), str(THREADS)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def do(self, job: str, **values: Any) -> dict[str, float]:
        """Have the process do `job`, and return what it measured."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"job": job, **values}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side ended with status {self._process.wait()}")
        answer: dict[str, float] = json.loads(line)
        return answer


@contextmanager
def sides(package: Path, gguf: Path) -> Iterator[tuple[Side, Side]]:
    """Yield fresh processes: ours and llama.cpp's."""
    ours, llama = Side("ours", package), Side("llama", gguf)
    try:
        yield ours, llama
    finally:
        ours.end()
        llama.end()


def main() -> int:
    """Build what is missing, measure, report."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
    django.setup()
    gguf, package = _prepared()
    texts = _texts()
    rows = []
    with sides(package, gguf) as (ours, llama):
        rows += _memory(ours, llama, texts["tg"], package)
    with sides(package, gguf) as (ours, llama):
        rows += _quality(ours, llama, texts)
        rows += _speed(ours, llama, texts["tg"])
    size = sum(path.stat().st_size for path in package.iterdir())
    rows.append(row("package_bytes_ratio", size / gguf.stat().st_size, "of the GGUF", at_most=0.65))
    rows.append(row("package_bytes", size / 1e6, "MB"))
    return report("serve", rows)


def _prepared() -> tuple[Path, Path]:
    """Return the stand-in's GGUF and the package of it; what an earlier run made is taken again."""
    # Torch and the exporter load for seconds, and need Django's settings first.
    from central.releases.packaging.build import package_build  # noqa: PLC0415
    from central.releases.packaging.checkpoint import checkpoint_cached  # noqa: PLC0415
    from central.releases.packaging.standin import standin_assemble  # noqa: PLC0415
    from central.releases.recipe import MIXED, Recipe  # noqa: PLC0415

    WORK.mkdir(parents=True, exist_ok=True)
    gguf, package = WORK / "standin.gguf", WORK / "package"
    if not gguf.exists():
        standin_assemble(into=WORK)
    if not package.exists():
        max_bytes = int(gguf.stat().st_size * GGUF_SHARE)
        _console.print(f"Building a package of at most {max_bytes / 1e6:.0f} MB (some minutes, once)")
        checkpoint = checkpoint_cached(source=None, work=WORK / "steps", progress=_show)
        package_build(
            checkpoint=checkpoint,
            texts=_texts(),
            into=package,
            work=WORK / "steps",
            progress=_show,
            recipe=Recipe(quantisation=MIXED, max_increase=MAX_INCREASE, max_bytes=max_bytes),
            tune=False,
            threads=THREADS,
        )
    return gguf, package


def _texts() -> dict[str, str]:
    from central.releases.evaluation_set import texts_read  # noqa: PLC0415 - needs Django's settings first

    return texts_read()


def _memory(ours: Side, llama: Side, text: str, package: Path) -> list[Row]:
    """Peak memory with four chats of a thousand tokens, in processes that did nothing else."""
    for side in (ours, llama):
        side.do("decode", text=text, tokens=MEMORY_TOKENS, new_tokens=8, chats=MEMORY_CHATS)
    own, theirs = ours.do("peak")["bytes"], llama.do("peak")["bytes"]
    size = sum(path.stat().st_size for path in package.iterdir())
    return [
        row("rss_ratio", own / theirs, "of llama.cpp's", at_most=0.8),
        row("rss_over_package", (own - 200e6) / size, "package sizes beside 200 MB", at_most=1.25),
        row("rss", own / 1e6, "MB"),
    ]


def _quality(ours: Side, llama: Side, texts: dict[str, str]) -> list[Row]:
    """Bits per byte of text, so that vocabularies compare."""
    rows = []
    for code, name in (("tg", "tajik"), ("en", "english")):
        bits = [
            side.do("losses", text=texts[code])["nats"] / math.log(2) / len(texts[code].encode())
            for side in (ours, llama)
        ]
        rows.append(row(f"perplexity_ratio_{name}", bits[0] / bits[1], "of llama.cpp's bits a byte", at_most=1.03))
        rows.append(row(f"bits_per_byte_{name}", bits[0], "bits"))
    return rows


def _speed(ours: Side, llama: Side, text: str) -> list[Row]:
    """Every job on both sides in turn, round after round."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for number in range(ROUNDS + 1):
        # The first round warms both sides up and does not count.
        _round(ours, llama, text, note if number else lambda _name, _value: None)
        _console.print(f"round {number} of {ROUNDS}")
    middle = {name: median(values) for name, values in found.items()}
    bars: list[tuple[str, float, str, dict[str, float]]] = [
        ("decode_ratio", middle["one"] / middle["llama_one"], "of llama.cpp's", {"at_least": 1.3}),
        ("prefill_ratio_64", middle["prefill_64"] / middle["llama_prefill_64"], "of llama.cpp's", {"at_least": 1.2}),
        ("prefill_ratio_512", middle["prefill_512"] / middle["llama_prefill_512"], "of llama.cpp's", {"at_least": 1.2}),
        ("batch8_ratio", middle["eight"] / middle["llama_eight"], "of llama.cpp's", {"at_least": 1.8}),
        ("batch8_vs_one", middle["eight"] / middle["one"], "of one chat", {"at_least": 3.0}),
        ("second_turn_share", middle["second_turn"], "of the first turn", {"at_most": 1 / 3}),
        ("adapter_decode_share", middle["adapter"] / middle["one"], "of none", {"at_least": 0.9}),
    ]
    rows = [row(name, value, unit, **bar) for name, value, unit, bar in bars]
    return rows + [row(name, value, "tokens/s") for name, value in middle.items() if name != "second_turn"]


def _round(ours: Side, llama: Side, text: str, note: Callable[[str, float], None]) -> None:
    for prefix, side in (("", ours), ("llama_", llama)):
        for tokens in (PROMPT_TOKENS, LONG_TOKENS):
            note(f"{prefix}prefill_{tokens}", tokens / side.do("prefill", text=text, tokens=tokens)["seconds"])
    for prefix, side in (("", ours), ("llama_", llama)):
        for name, chats in (("one", 1), ("eight", CHATS)):
            grown = side.do("decode", text=text, tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS, chats=chats)
            note(prefix + name, grown["tokens"] / grown["seconds"])
    turns = ours.do("turns", text=text, tokens=LONG_TOKENS, answer_tokens=16, more_tokens=SECOND_TURN_TOKENS)
    note("second_turn", turns["second"] / turns["first"])
    ours.do("adapter", is_on=True)
    adapted = ours.do("decode", text=text, tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS, chats=1)
    note("adapter", adapted["tokens"] / adapted["seconds"])
    ours.do("adapter", is_on=False)


def _show(stage: str, share: float) -> None:
    if share in (0.0, 1.0):
        _console.print(f"{stage}: {share:.0%}")


if __name__ == "__main__":
    sys.exit(main())
