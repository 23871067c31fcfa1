"""The networks of a centre and its schools: one each, joined by links that go up and down, or not joined at all.

A network has no name and no place on the disk: it is there as long as somebody holds it or a process runs in it. The
centre has one address for all schools; nobody passes anything on from one school to another.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.acceptance.kernel import NEW_NETWORK, network_enter, unshare

CENTRE_ADDRESS = "10.77.0.1"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Network:
    """A network of its own, in which at first there is only the loopback."""

    handle: int

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let what this thread does and starts meanwhile happen in this network."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            network_enter(self.handle)
            yield
        finally:
            network_enter(before)
            os.close(before)

    def ip(self, *words: str) -> None:
        """Have iproute2 do this in here."""
        with self.entered():
            subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

    @property
    def interfaces(self) -> set[str]:
        """Their names."""
        with self.entered():
            lines = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}


@dataclass(frozen=True, slots=True)
class Link:
    """A school's line to the centre, up until it is taken down."""

    school: Network
    interface: str

    def up(self) -> None:
        """Join the school to the centre."""
        self.school.ip("link", "set", self.interface, "up")
        # The kernel forgets routes of an interface that goes down.
        self.school.ip("route", "replace", "default", "dev", self.interface)

    def down(self) -> None:
        """Cut the school off, in the middle of whatever is under way."""
        self.school.ip("link", "set", self.interface, "down")

    @property
    def bytes_total(self) -> int:
        """Bytes that crossed it, both ways."""
        with self.school.entered():
            (line,) = (
                line
                for line in Path("/proc/thread-self/net/dev").read_text().splitlines()
                if line.strip().startswith(f"{self.interface}:")
            )
        counts = line.partition(":")[2].split()
        return int(counts[0]) + int(counts[8])


@contextmanager
def network_open() -> Iterator[Network]:
    """Yield a network with a loopback and nothing else; it is gone once no process runs in it any more."""
    network = Network(_network_make())
    try:
        network.ip("link", "set", "lo", "up")
        yield network
    finally:
        os.close(network.handle)


@contextmanager
def centre_network_open() -> Iterator[Network]:
    """Yield a network whose programs are reached at CENTRE_ADDRESS."""
    with network_open() as network:
        network.ip("address", "add", f"{CENTRE_ADDRESS}/32", "dev", "lo")
        yield network


def link_lay(centre: Network, school: Network) -> Link:
    """Return a new line between the two, which is down."""
    number = next(_numbers)
    near, far = f"school{number}", f"line{number}"
    place = f"/proc/{os.getpid()}/fd"
    centre.ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", f"{place}/{school.handle}")
    centre.ip("address", "add", f"10.77.{number}.1/32", "peer", f"10.77.{number}.2/32", "dev", near)
    centre.ip("link", "set", near, "up")
    school.ip("address", "add", f"10.77.{number}.2/32", "dev", far)
    return Link(school, far)


def _network_make() -> int:
    """Return a handle of a new network. A thread of its own moves there, so that nothing else does."""
    made: list[int] = []

    def make() -> None:
        unshare(NEW_NETWORK)
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
