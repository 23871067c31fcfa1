"""`make bench-build`: packages a checkpoint of random numbers in the shape of Gemma 3 4B, and tells what that takes.

The checkpoint is made once and kept. `release_build` then runs in a process of its own, as an operator starts it: the
vocabulary trimmed to tg, ru and en, no chat tuning, INT8. Each step's minutes and its highest memory are told, that of
child processes included. BENCH_SIZE names another published size (270m, 1b, 4b, 12b, 27b). A build for which less than
1.5 GB stay available on the machine is ended, so that nothing else is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
from rich.console import Console

from tests.benchmarks.process_tree import Memory, Watch
from tests.benchmarks.random_gemma import SHAPES, random_gemma
from tests.benchmarks.report import BENCH_ROOT, Row, report, row

WORK = BENCH_ROOT / "build"
SIZE = os.environ.get("BENCH_SIZE", "4b")
THREADS = str(min(2, os.cpu_count() or 1))
FLOOR_BYTES = 1_500_000_000
# Of a machine of 24 GB the kernel and what else runs there take some.
MOST_GB = 18.0
LARGEST_DIVERGENCE = 0.1
_console = Console(stderr=True)


@dataclass
class Build:
    """What a build has told: seconds and memory by step in order, and what became of it."""

    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, Memory] = field(default_factory=dict)
    release: dict[str, Any] = field(default_factory=dict)


def main() -> int:
    """Make the checkpoint if it is missing, build, report."""
    checkpoint = _checkpoint()
    root = WORK / f"central-{SIZE}"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    _central(root, "migrate")
    build = _build(root, checkpoint)
    shutil.rmtree(root)
    return report(f"build-{SIZE}", _rows(build, checkpoint))


def _checkpoint() -> Path:
    """Return the random checkpoint's folder."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "central.settings")
    django.setup()
    from central.releases.packaging.checkpoint import checkpoint_cached  # noqa: PLC0415 - needs Django's settings first

    folder = WORK / f"random-{SIZE}"
    if not folder.exists():
        _console.print(f"Writing a random checkpoint of {SHAPES[SIZE].weights / 1e9:.2f} billion numbers (once)")
        standin = checkpoint_cached(source=None, work=WORK / "standin", progress=lambda _step, _part: None)
        random_gemma(SHAPES[SIZE], tokenizer=standin.folder, into=folder, progress=lambda _part: None)
    return folder


def _build(root: Path, checkpoint: Path) -> Build:
    command = ["release_build", "--title", "random", "--checkpoint", str(checkpoint), "--chat-tuning", "no", "--json"]
    process = _central_start(root, *command)
    assert process.stderr
    assert process.stdout
    build, lines = Build(), []
    with Watch(process.pid, floor_bytes=FLOOR_BYTES, starved=process.kill) as watch:
        stage, since = "start", time.monotonic()
        watch.stage(stage)
        for line in process.stderr:
            name, _, share = line.strip().rpartition(" ")
            if not share.endswith("%"):
                lines.append(line)
                continue
            if name != stage:
                build.seconds[stage] = build.seconds.get(stage, 0.0) + time.monotonic() - since
                stage, since = name, time.monotonic()
                watch.stage(stage)
            _console.print(f"{name} {share}", end="\r")
        build.seconds[stage] = build.seconds.get(stage, 0.0) + time.monotonic() - since
        answer = process.stdout.read()
        status = process.wait()
    if status:
        raise RuntimeError(f"release_build ended with status {status}: {''.join(lines)[-2000:]}")
    build.peaks, build.release = watch.peaks, json.loads(answer)
    return build


def _rows(build: Build, checkpoint: Path) -> list[Row]:
    rows = []
    for step, seconds in build.seconds.items():
        peak = build.peaks.get(step, Memory())
        rows += [
            row(f"{step}_minutes", seconds / 60, "min"),
            row(f"{step}_peak", peak.resident / 1e9, "GB", at_most=MOST_GB),
            row(f"{step}_peak_without_files", peak.anonymous / 1e9, "GB"),
        ]
    parities = build.release["card"]["parity"].values()
    divergence = max(figures[name] for figures in parities for name in ("divergence_short", "divergence_long"))
    source = sum(path.stat().st_size for path in checkpoint.iterdir())
    return [
        row("minutes", sum(build.seconds.values()) / 60, "min"),
        row("peak", max(peak.resident for peak in build.peaks.values()) / 1e9, "GB", at_most=MOST_GB),
        *rows,
        row("divergence_from_fp32", divergence, "nats a token", at_most=LARGEST_DIVERGENCE),
        row("checkpoint_bytes", source / 1e9, "GB"),
        row("package_bytes", build.release["size_bytes"] / 1e9, "GB"),
    ]


def _central(root: Path, *arguments: str) -> None:
    process = _central_start(root, *arguments)
    _, problem = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments[0]}: {problem[-2000:]}")


def _central_start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    settings = {"SORO_CENTRAL_ROOT": str(root), "OMP_NUM_THREADS": THREADS}
    command = [sys.executable, "manage.py", "central", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **settings}
    )


if __name__ == "__main__":
    sys.exit(main())
