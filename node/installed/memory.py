"""How much memory an engine could have on this PC. Source: Linux, proc(5) and unix(7)."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from node.root import engine_socket_path

PROC = Path("/proc")
KIBIBYTE = 1024
_CREDENTIALS = struct.Struct("3i")


def memory_available_bytes(root: Path, *, proc: Path = PROC) -> int:
    """Return what the kernel calls available, and what the engine of the node at `root` would free by ending.

    Of a running engine that is its anonymous memory: the kernel counts pages that mirror a file as available already.
    """
    pid = _engine_pid(engine_socket_path(root))
    held = _figure(proc / str(pid) / "status", "RssAnon") if pid else 0
    return _figure(proc / "meminfo", "MemAvailable") + held


def memory_total_bytes(*, proc: Path = PROC) -> int:
    """Return how much memory this PC has."""
    return _figure(proc / "meminfo", "MemTotal")


def _engine_pid(socket_path: Path) -> int:
    """Return the id of the process that listens on the engine's socket, or 0 where none does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(socket_path))
            given = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return 0
    return int(_CREDENTIALS.unpack(given)[0])


def _figure(path: Path, name: str) -> int:
    """Return in bytes the figure that a line `name: … kB` of the file at `path` gives, or 0 where there is none."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        # The engine ended meanwhile: it holds nothing.
        return 0
    return sum(int(line.split()[1]) * KIBIBYTE for line in lines if line.startswith(f"{name}:"))
