"""Start a real centre or node for a test, and end it with all its processes."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from federation.demo.commands import CommandLine, wait_until

# The test run's own settings name other engines in the environment, which every child would inherit.
EMBEDDED = {
    "SORO_CENTRAL_BROKER_URL": "filesystem://",
    "SORO_CENTRAL_DATABASE_URL": "",
    "SORO_CENTRAL_TICK_SECONDS": "1",
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def centre_run(root: Path) -> Iterator[tuple[CommandLine, str]]:
    """Yield the command line and the address of an embedded centre that runs at `root`, with keys."""
    port, fleet_port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    commands = CommandLine(project="central", root=root, environment=EMBEDDED)
    commands.run("start", "keys", "make")
    arguments = ("--port", str(port), "--fleet-port", str(fleet_port))
    with _run(commands, arguments, lambda: _answers(f"{address}/healthz")):
        yield commands, address


@contextmanager
def node_run(root: Path) -> Iterator[tuple[CommandLine, str]]:
    """Yield the command line and the address of a node that runs at `root`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    commands = CommandLine(project="node", root=root, environment={"SORO_NODE_TRAINS_AT_NIGHT": "0"})
    with _run(commands, ("--port", str(port)), lambda: _answers(f"{address}/")):
        yield commands, address


@contextmanager
def _run(commands: CommandLine, arguments: tuple[str, ...], is_healthy: Callable[[], bool]) -> Iterator[None]:
    running = commands.start("run", *arguments)
    try:
        wait_until("start", is_healthy, what="its page", process=running)
        yield
    finally:
        running.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
