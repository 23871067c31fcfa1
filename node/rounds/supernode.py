"""One contact with the centre's SuperLink: a SuperNode is opened, the update is handed over, everything is closed.

The SuperNode is Flower's own program or the durable client, which answers alike from one process and goes on after a
cut. Knows nothing of Flower beyond a command line, so a school PC without the `train` extra loses only this. The rules,
in order:
1. The contact ends when the centre has acknowledged the update, when the lease is over, or when the SuperNode gives up.
2. However it ends, the whole process group is interrupted and, 10 seconds later, killed: no process is left behind.
3. A SuperNode that ended uncleanly cannot come back for 60 seconds; that is no fault, the next contact is only later.
   To the SuperLink it looks the same as a key that is not registered; whether this node is still welcome, sync knows.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import federation
from federation.errors import CapacityError

_GRACE_SECONDS = 10.0
_RETRY_SECONDS = 60
_LOG_TAIL_BYTES = 20_000
_EARLY_MARK = b"[code: 2004]"


class SupernodeUnavailable(CapacityError):
    """This PC has no Flower: the `train` extra is not installed. Fields: none."""

    code = "supernode_unavailable"


class FlowerClient(StrEnum):
    """The program that speaks to the SuperLink."""

    SUPERNODE = "supernode"
    """Flower's own: three processes."""
    DURABLE = "durable"
    """One process that goes on where a cut has left it."""


class ContactEnd(StrEnum):
    """How a contact ended."""

    RECEIVED = "received"
    LEASE_OVER = "lease_over"
    TRY_LATER = "try_later"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What a contact needs: where the SuperLink is, and this node's own files. `home` is for Flower alone."""

    superlink: str
    authority: Path
    node_key: Path
    outbox: Path
    home: Path
    log_path: Path
    client: FlowerClient = FlowerClient.SUPERNODE


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactReport:
    """How a contact ended; `retry_after_seconds` is 0 when no other one is needed."""

    end: ContactEnd
    seconds: float
    retry_after_seconds: int
    exit_status: int | None


def contact_hold(
    *,
    contact: Contact,
    is_received: Callable[[], bool],
    lease_seconds: float,
    poll_seconds: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ContactReport:
    """Return how the contact ended; no process of it is left then.

    `is_received` says whether the centre's receipt for the update has arrived, and is asked every `poll_seconds`.

    Raises:
        SupernodeUnavailable: Flower is not installed on this PC.
    """
    started = clock()
    if not is_flower_installed():
        raise SupernodeUnavailable
    with _supernode(contact) as process:
        end = None
        while end is None:
            sleep(poll_seconds)
            end = _why_end(process, contact.log_path, is_received, is_over=clock() - started >= lease_seconds)
        exit_status = process.poll()
    retry = 0 if end is ContactEnd.RECEIVED else _RETRY_SECONDS
    return ContactReport(end=end, seconds=clock() - started, retry_after_seconds=retry, exit_status=exit_status)


def is_flower_installed() -> bool:
    """Tell whether this PC could open a SuperNode."""
    return importlib.util.find_spec("flwr") is not None


def _why_end(
    process: subprocess.Popen[bytes], log_path: Path, is_received: Callable[[], bool], *, is_over: bool
) -> ContactEnd | None:
    if is_received():
        return ContactEnd.RECEIVED
    if process.poll() is not None:
        return _end_from_log(log_path)
    return ContactEnd.LEASE_OVER if is_over else None


def _end_from_log(log_path: Path) -> ContactEnd:
    # Flower ends with status 1 whatever the reason; only its log tells one from another.
    with log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - _LOG_TAIL_BYTES))
        tail = log.read()
    return ContactEnd.TRY_LATER if _EARLY_MARK in tail else ContactEnd.FAILED


@contextlib.contextmanager
def _supernode(contact: Contact) -> Iterator[subprocess.Popen[bytes]]:
    contact.log_path.parent.mkdir(parents=True, exist_ok=True)
    contact.outbox.mkdir(parents=True, exist_ok=True)
    with contact.log_path.open("wb") as log:
        process = subprocess.Popen(
            _argv(contact), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_env(), start_new_session=True
        )
    try:
        yield process
    finally:
        _group_end(process)


def _argv(contact: Contact) -> list[str]:
    common = [
        *(sys.executable, "-m", f"federation.learning.flower.{contact.client.value}"),
        *("--superlink", contact.superlink, "--root-certificates", str(contact.authority)),
        *("--node-key", str(contact.node_key), "--outbox", str(contact.outbox)),
    ]
    if contact.client is FlowerClient.DURABLE:
        return [*common, "--home", str(contact.home / "durable")]
    # Flower's own SuperNode and its ClientApp meet at a port.
    return [*common, "--home", str(contact.home), "--port", str(_free_port())]


def _env() -> dict[str, str]:
    tree = str(Path(federation.__file__).parent.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [tree, os.environ.get("PYTHONPATH", "")]))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _group_end(process: subprocess.Popen[bytes]) -> None:
    # The leader may be gone while its SuperExec or ClientApp still runs, so the group is asked, not the leader.
    for sign, patience in ((signal.SIGINT, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        if _is_group_gone(process, patience):
            break
    process.wait()


def _is_group_gone(process: subprocess.Popen[bytes], patience: float) -> bool:
    until = time.monotonic() + patience
    while time.monotonic() < until:
        process.poll()
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
