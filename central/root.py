"""Where the centre keeps everything that is its own: one root directory, named by `--root` or the environment.

Standard library only, because settings are built from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

ENVIRONMENT_NAME = "SORO_CENTRAL_ROOT"
DEFAULT_ROOT = Path("var/central")


def root_find(*, argv: Sequence[str], environ: Mapping[str, str]) -> Path:
    """Return the absolute root that `--root` on the command line names, else the environment, else `var/central`."""
    for position, word in enumerate(argv):
        if word == "--root" and position + 1 < len(argv):
            return Path(argv[position + 1]).absolute()
        if word.startswith("--root="):
            return Path(word.partition("=")[2]).absolute()
    return Path(environ.get(ENVIRONMENT_NAME) or DEFAULT_ROOT).absolute()
