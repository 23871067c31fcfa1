"""Say by mDNS that this PC has a door, and keep the list of the others that say so. Source: RFC 6762 and 6763."""

from __future__ import annotations

import ipaddress
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf

from federation.trust.peers import is_neighbour
from node.sync.neighbours import MOST_NEIGHBOURS, neighbours_forget, neighbours_write

SERVICE = "_soro-relay._tcp.local."
LOOKUP_MILLISECONDS = 2000


class Announcement:
    """While open, other PCs hear of the door at `port`, and `root` holds the list of theirs."""

    def __init__(self, *, root: Path, addresses: Sequence[str], port: int) -> None:
        """Speak and listen on the interfaces that have `addresses`."""
        self._list = _List(root)
        self._zeroconf = Zeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)
        self._list.own = f"{secrets.token_hex(6)}.{SERVICE}"
        packed = [ipaddress.ip_address(address).packed for address in addresses]
        server = f"{self._list.own.split('.', 1)[0]}.local."
        self._zeroconf.register_service(
            ServiceInfo(SERVICE, self._list.own, addresses=packed, port=port, server=server)
        )
        self._browser = ServiceBrowser(self._zeroconf, SERVICE, listener=self._list)

    def close(self) -> None:
        """Say goodbye, and forget the others."""
        self._zeroconf.close()
        self._list.forget()


class _List(ServiceListener):
    """Called by zeroconf in its own thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._doors: dict[str, str] = {}
        self._lock = threading.Lock()
        self.own = ""

    def add_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        found = zc.get_service_info(type_, name, LOOKUP_MILLISECONDS) if name != self.own else None
        addresses = found.parsed_addresses(IPVersion.V4Only) if found else []
        nearby = next((address for address in addresses if is_neighbour(address)), None)
        if found and nearby and found.port:
            self._keep(name, f"http://{nearby}:{found.port}")

    def update_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        self.add_service(zc, type_, name)

    def remove_service(self, zc: Zeroconf, type_: str, name: str) -> None:
        del zc, type_
        self._keep(name, None)

    def forget(self) -> None:
        """Leave no list."""
        with self._lock:
            neighbours_forget(self._root)

    def _keep(self, name: str, door: str | None) -> None:
        with self._lock:
            if door is None:
                self._doors.pop(name, None)
            elif name in self._doors or len(self._doors) < MOST_NEIGHBOURS:
                self._doors[name] = door
            neighbours_write(self._root, list(self._doors.values()))
