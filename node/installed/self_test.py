"""Try a staged release in a child process, so that nothing it does can hurt what runs.

The child is `federation.inference.self_test`; this side starts it, bounds its time and memory, and reads its verdict.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from node.children import program_environment
from node.installed.errors import SelfTestCrashed, SelfTestTimeout

TIMEOUT_SECONDS = 600.0
CHILD_MODULE = "federation.inference.self_test"
DETAIL_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestVerdict:
    """Whether the release may go on trial; `code` says why not, `detail` is for the log."""

    has_passed: bool
    code: str
    detail: str


SelfTest: TypeAlias = Callable[[Path, Path | None], SelfTestVerdict]


def self_test_run(
    package: Path,
    adapter: Path | None,
    *,
    module: str = CHILD_MODULE,
    python: Path | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    memory_bytes: int | None = None,
) -> SelfTestVerdict:
    """Return the verdict of a child process that loads the release, answers prompts and measures perplexity.

    `memory_bytes`, where given, bounds the child's address space. A child that dies or hangs is a refusal. `python` is
    that of another program's environment, whose engine is to be tried in the place of this one's.
    """
    command = [str(python or sys.executable), "-m", module, "--package", str(package)]
    command += ["--adapter", str(adapter)] if adapter else []
    command += ["--memory-bytes", str(memory_bytes)] if memory_bytes else []
    try:
        child = subprocess.run(
            command,
            # Of another program no folder in which somebody happens to stand may bring this one's modules along.
            env=os.environ | {"PYTHONSAFEPATH": "1"} if python else program_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return SelfTestVerdict(has_passed=False, code=SelfTestTimeout.code, detail=f"{timeout_seconds:.0f} s")
    return _verdict(child)


def _verdict(child: subprocess.CompletedProcess[str]) -> SelfTestVerdict:
    lines = child.stdout.splitlines()
    try:
        said = json.loads(lines[-1])
        return SelfTestVerdict(has_passed=said["has_passed"], code=said["code"], detail=said["detail"])
    except (IndexError, ValueError, KeyError, TypeError):
        tail = child.stderr.strip()[-DETAIL_CHARACTERS:]
        return SelfTestVerdict(has_passed=False, code=SelfTestCrashed.code, detail=f"exit {child.returncode}: {tail}")
