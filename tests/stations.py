"""Start a real centre or node for a test, and end it with all its processes."""

import contextlib
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx

from federation.demo.commands import CommandLine, LongRunning, wait_until
from node.chat.engine_client import engine_status
from node.root import engine_socket_path

# The test run's own settings name other engines in the environment, which every child would inherit.
EMBEDDED = {
    "SORO_CENTRAL_BROKER_URL": "filesystem://",
    "SORO_CENTRAL_DATABASE_URL": "",
    "SORO_CENTRAL_TICK_SECONDS": "1",
}

# Below Linux's ip_local_port_range, and above the ports of usual services.
FIRST_PORT, PORTS = 24_500, 8_000


def free_port() -> int:
    """Return a port that nobody has, of those that the kernel gives to nobody who calls out.

    A server comes to it seconds later. A port of the kernel's own choice could be some caller's by then, for as long as
    that connection lasts: the server would be started again and again, and a test stand still for minutes.
    """
    while True:
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", FIRST_PORT + secrets.randbelow(PORTS)))
            return int(free.getsockname()[1])


@contextmanager
def centre_run(root: Path) -> Iterator[tuple[CommandLine, str]]:
    """Yield the command line and the address of an embedded centre that runs at `root`, with keys."""
    port, fleet_port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    commands = CommandLine(project="central", root=root, environment=EMBEDDED)
    commands.run("start", "keys", "make")
    arguments = ("--port", str(port), "--fleet-port", str(fleet_port))
    with _run(commands, arguments, lambda: does_answer(f"{address}/healthz")):
        yield commands, address


@contextmanager
def node_run(
    root: Path, *, release: str = "", environment: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[CommandLine, str]]:
    """Yield the command line and the address of a node that runs at `root`, once its engine has loaded `release`."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    commands = CommandLine(project="node", root=root, environment={"SORO_NODE_TRAINS_AT_NIGHT": "0", **environment})
    with _run(commands, ("--port", str(port)), lambda: does_answer(f"{address}/") and _serves(root, release)):
        yield commands, address


@contextmanager
def page_run(commands: CommandLine) -> Iterator[tuple[LongRunning, str]]:
    """Yield a node's page that runs alone at the root of `commands`, without engine and sync, and its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    page = commands.start("page", "--port", str(port))
    try:
        wait_until("start", lambda: does_answer(f"{address}/offline/"), what="its page", process=page)
        yield page, address
    finally:
        page.stop()


@contextmanager
def _run(commands: CommandLine, arguments: tuple[str, ...], is_healthy: Callable[[], bool]) -> Iterator[None]:
    running = commands.start("run", *arguments)
    try:
        wait_until("start", is_healthy, what="its page", process=running)
        yield
    finally:
        running.stop()


def _serves(root: Path, release: str) -> bool:
    if not release:
        return True
    status = engine_status(socket_path=engine_socket_path(root))
    return status is not None and status.release == release


def does_answer(url: str) -> bool:
    """Return whether something answers at `url` that it is there."""
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False
