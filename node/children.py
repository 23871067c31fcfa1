"""How this node's processes start one another."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import federation
from node.root import ENVIRONMENT_NAME


def command_argv(command: str, *arguments: str) -> list[str]:
    """Return the command line of one of the node's own commands, wherever the program is installed."""
    return [sys.executable, "-m", "django", command, *arguments]


def child_environment(root: Path) -> dict[str, str]:
    """Return the environment in which a child finds this program, these settings and this root."""
    return program_environment() | {
        "DJANGO_SETTINGS_MODULE": "node.settings",
        ENVIRONMENT_NAME: str(root),
    }


def program_environment() -> dict[str, str]:
    """Return the environment in which `python -m` finds this program's modules from any working directory."""
    tree = str(Path(federation.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [tree, os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
