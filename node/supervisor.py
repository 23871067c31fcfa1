"""`node run`: one process that starts the page, the engine, the sync loop and, for a school of several PCs, the relay.

Rules, in order: the ports are tried before anything is touched; the database is migrated before any child reads it;
what becomes of the children is `federation.processes`' business.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.ports import is_loopback
from federation.processes import ChildSpec, children_keep
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.children import child_environment, command_argv

RUN_NAME = "run.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunFile:
    pid: int
    address: str
    started_at: datetime
    children: Mapping[str, int]


def node_run(
    *,
    root: Path,
    host: str,
    port: int,
    https_port: int,
    relay_port: int,
    clock: Callable[[], datetime],
    stopping: threading.Event,
) -> None:
    """Keep the node's processes running until `stopping` is set; `run.json` under `root` names their ids meanwhile."""
    address, started_at = f"http://{host}:{port}", clock()

    def describe(children: Mapping[str, int]) -> bytes:
        run = _RunFile(pid=os.getpid(), address=address, started_at=started_at, children=children)
        return canonical_bytes(run)

    specs = _specs(root, host, port, https_port, relay_port)
    children_keep(specs, run_path=root / RUN_NAME, describe=describe, stopping=stopping)


def supervisor_pid(root: Path) -> int:
    """Return the id of the process that keeps the node of `root` running, or 0 where none does."""
    run = _run_read(root)
    return run.pid if run is not None else 0


def children_restart(*, root: Path, names: Collection[str]) -> None:
    """Let the children of these names end, where the node of `root` runs; its supervisor starts them again."""
    run = _run_read(root)
    for name, pid in run.children.items() if run is not None else ():
        if name in names:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def _run_read(root: Path) -> _RunFile | None:
    """Return what the running supervisor has written; after a cut the file may name a process that is gone."""
    try:
        run = parse(_RunFile, (root / RUN_NAME).read_bytes())
        os.kill(run.pid, 0)
    except (FileNotFoundError, MalformedDocument, ProcessLookupError, PermissionError):
        return None
    return run


def _specs(root: Path, host: str, port: int, https_port: int, relay_port: int) -> list[ChildSpec]:
    commands: dict[str, list[str]] = {
        "page": command_argv("page", "--host", host, "--port", str(port), "--https-port", str(https_port)),
        "engine": command_argv("engine"),
        "sync": command_argv("sync"),
    }
    if not is_loopback(host):
        # Where the page is for this PC alone, so are its releases.
        commands["relay"] = command_argv("relay", "--host", host, "--port", str(relay_port))
    environment = child_environment(root)
    return [
        ChildSpec(name=name, argv=tuple(argv), log_path=root / "logs" / f"{name}.log", env=environment)
        for name, argv in commands.items()
    ]
