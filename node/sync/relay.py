"""Keep this PC's door for the others open as long as the head allows it; a process of its own under `node run`."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn
from zeroconf import Error as ZeroconfError

from node.own_addresses import own_addresses
from node.sync.announcement import Announcement
from node.sync.relay_door import MOST_AT_ONCE, RelayDoor
from node.sync.shelf import Shelf

LOOK_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 5
_log = logging.getLogger(__name__)


def relay_run(
    *,
    root: Path,
    host: str,
    port: int,
    is_shared: Callable[[], bool],
    stopping: threading.Event,
    look_seconds: float = LOOK_SECONDS,
) -> None:
    """Serve and announce whenever `is_shared`, until `stopping` is set."""
    while not stopping.is_set():
        if is_shared():
            _open(root, host, port, is_shared, stopping, look_seconds)
        stopping.wait(look_seconds)


def _open(
    root: Path, host: str, port: int, is_shared: Callable[[], bool], stopping: threading.Event, look_seconds: float
) -> None:
    config = uvicorn.Config(
        RelayDoor(Shelf(root)),
        log_level="warning",
        lifespan="off",
        server_header=False,
        interface="asgi3",
        ws="none",
        limit_concurrency=4 * MOST_AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    # A port of 0 is any free one: the others hear of it with the address.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, dualstack_ipv6=family is socket.AF_INET6)
    port = listening.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    announced: tuple[tuple[str, ...], Announcement] | None = None
    try:
        while thread.is_alive() and is_shared() and not stopping.is_set():
            announced = _announce(root, host, port, announced)
            stopping.wait(look_seconds)
    finally:
        if announced is not None:
            announced[1].close()
        server.should_exit = True
        thread.join()
        listening.close()


def _announce(
    root: Path, host: str, port: int, announced: tuple[tuple[str, ...], Announcement] | None
) -> tuple[tuple[str, ...], Announcement] | None:
    """Return the announcement at the PC's addresses of now: they change, and come late after the power did."""
    addresses = own_addresses(host)
    if announced is not None and announced[0] == addresses:
        return announced
    if announced is not None:
        announced[1].close()
    if not addresses:
        return None
    try:
        return addresses, Announcement(root=root, addresses=addresses, port=port)
    except (OSError, ZeroconfError) as error:
        _log.warning("no neighbours can be looked for: %s", error)
        return None
