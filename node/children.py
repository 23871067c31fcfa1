"""How this node's processes start one another, and end when the one that started them is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import federation
from node.root import ENVIRONMENT_NAME

LOOK_SECONDS = 1.0
PARENT_NAME = "SORO_NODE_PARENT"


def command_argv(command: str, *arguments: str) -> list[str]:
    """Return the command line of one of the node's own commands, wherever the program is installed."""
    return [sys.executable, "-m", "django", command, *arguments]


def child_environment(root: Path) -> dict[str, str]:
    """Return the environment in which a child finds this program, these settings and this root."""
    return program_environment() | {
        "DJANGO_SETTINGS_MODULE": "node.settings",
        ENVIRONMENT_NAME: str(root),
        PARENT_NAME: str(os.getpid()),
    }


def program_environment() -> dict[str, str]:
    """Return the environment in which `python -m` finds this program's modules from any working directory."""
    tree = str(Path(federation.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [tree, os.environ.get("PYTHONPATH", "")]))
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def parent_follow() -> None:
    """End this process by SIGTERM once the process that started it has gone, so that no `kill -9` leaves orphans."""
    # The parent may be gone before this line is reached, so who it was comes with the environment.
    parent = int(os.environ.get(PARENT_NAME) or os.getppid())
    threading.Thread(target=_await_orphanage, args=(parent,), daemon=True, name="parent-follow").start()


def _await_orphanage(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
