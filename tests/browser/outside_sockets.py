"""Which sockets of a process and its descendants lead off this machine, as the kernel knows them. Source: proc(5)."""

import ipaddress
import re
import threading
from pathlib import Path

PROC = Path("/proc")
_TABLES = ("tcp", "tcp6", "udp", "udp6")
_SOCKET = re.compile(r"socket:\[(\d+)\]")


class SocketWatch:
    """Looks ten times a second, from `with` to its end; `seen` are the addresses beyond this machine."""

    def __init__(self, pid):
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seen = set()
        self.processes = set()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.1):
            for pid in _tree(self._pid):
                self.processes.add(pid)
                self.seen |= outside_addresses(pid)


def outside_addresses(pid):
    """Return the local and remote addresses of the process's sockets that are neither loopback nor nobody's."""
    try:
        files = [str(file.readlink()) for file in (PROC / str(pid) / "fd").iterdir()]
        lines = [line.split() for name in _TABLES for line in _table(pid, name)]
    except OSError:
        # It has ended meanwhile, or a file of it has been closed: the next look is soon.
        return set()
    own = {found[1] for file in files if (found := _SOCKET.match(file))}
    ends = {end for words in lines if words[9] in own for end in words[1:3]}
    addresses = {_address(end.partition(":")[0]) for end in ends}
    return {str(address) for address in addresses if not (address.is_loopback or address.is_unspecified)}


def _table(pid, name):
    return (PROC / str(pid) / "net" / name).read_text().splitlines()[1:]


def _address(text):
    # Words of 32 bits, each in the machine's own order.
    words = [int(text[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return getattr(address, "ipv4_mapped", None) or address


def _tree(pid):
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        try:
            waiting += [
                int(child) for path in (PROC / str(pid)).glob("task/*/children") for child in path.read_text().split()
            ]
        except OSError:
            continue
