"""What the acceptance run asks of the kernel itself, as Python 3.11 has no words for it. Linux, and as root."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
NEW_MOUNTS = 0x00020000
NEW_PROCESS_IDS = 0x20000000
NEW_NETWORK = 0x40000000
_PRIVATE_MOUNTS = 0x00040000 | 0x00004000
_BIND = 0x00001000
_END_WITH_PARENT = 1


class KernelRefused(OSError):
    """The kernel would not; its words follow."""


def unshare(kinds: int) -> None:
    """Give this thread, or the children to come, namespaces of these kinds of their own."""
    _checked(_LIBC.unshare(kinds), "unshare")


def network_enter(handle: int) -> None:
    """Let this thread, and what it starts from now on, see only the network behind `handle`."""
    _checked(_LIBC.setns(handle, NEW_NETWORK), "setns")


def run_alone(hosts: Mapping[str, str]) -> None:
    """Return in a process whose end, however it comes, is the end of all that it has started.

    Namespaces of processes and of mounts end with the first process in them, even by SIGKILL. `hosts` are names with
    their addresses, which are known in there. The process that called waits outside and ends with the same status.

    Raises:
        KernelRefused: whoever runs this is not root, or is in a container that may not.
    """
    unshare(NEW_PROCESS_IDS | NEW_MOUNTS)
    if first := os.fork():
        sys.exit(_led(first))
    # From here on in the new namespaces, as their first process.
    _LIBC.prctl(_END_WITH_PARENT, signal.SIGKILL)
    _mount("none", "/", "", _PRIVATE_MOUNTS)
    _mount("proc", "/proc", "proc", 0)
    names = Path(f"/run/acceptance-{os.urandom(4).hex()}")
    names.write_text(Path("/etc/hosts").read_text() + "".join(f"{ip} {name}\n" for name, ip in hosts.items()))
    _mount(str(names), "/etc/hosts", "", _BIND)
    names.unlink()
    if child := os.fork():
        # Whoever leaves children behind leaves them to the first process, which must take note of their end.
        os._exit(_led(child))


def _led(child: int) -> int:
    """Return the status with which `child` ended; signals that ask this process to end are passed on to it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda sign, _frame: os.kill(child, sign))
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    words = [text.encode() for text in (source, target, kind)]
    _checked(_LIBC.mount(*words, ctypes.c_ulong(flags), None), f"mount {target}")


def _checked(answer: int, what: str) -> None:
    if answer:
        number = ctypes.get_errno()
        raise KernelRefused(number, f"{what}: {os.strerror(number)}")
