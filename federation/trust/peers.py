"""Other PCs of the school as sources of chunks: believed in nothing, dropped at the first disappointment.

Rules, in order:
1. Every chunk is verified against the index, like one from the centre; a peer that gives a wrong one is dropped.
2. A peer that is slow, silent or talks nonsense is dropped as well. A fetch never fails because of a peer.
3. What peers say that they are fetching is left to them, but never longer than PATIENCE_SECONDS without a chunk.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from federation.errors import FederationError
from federation.trust.blob_sources import BlobSource, HttpBlobSource
from federation.trust.chunk_journal import ChunkPlace
from federation.trust.chunk_store import ChunkMap, Run
from federation.trust.errors import BlobUnavailable, LinkLost
from federation.wire.canonical import MalformedDocument, parse
from federation.wire.relay import Holdings

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
SLOWEST_BYTES_A_SECOND = 32 * 1024
GRACE_SECONDS = 5.0
MAX_HOLDINGS_BYTES = 64 * 1024
TIMEOUT = httpx.Timeout(5.0, connect=2.0)
_log = logging.getLogger(__name__)


class Peer(BlobSource, Protocol):
    """A PC that may hold chunks of a release."""

    @property
    def name(self) -> str:
        """What it is called in logs; two peers of one name are one."""

    def holdings(self, release: str) -> Holdings:
        """Return what it says that it holds.

        Raises:
            BlobUnavailable: nothing of this release.
            LinkLost, MalformedDocument: it is not to be talked with.
        """


class HttpPeer:
    """A peer's door at `base_url`; `client` is one of `peer_client`."""

    def __init__(self, *, client: httpx.Client, base_url: str) -> None:
        self._client = client
        self.name = base_url.rstrip("/")

    def holdings(self, release: str) -> Holdings:
        """Return what the peer says that it holds.

        Raises:
            BlobUnavailable: nothing of this release.
            LinkLost, MalformedDocument: it is not to be talked with.
        """
        content, deadline = b"", _Deadline(MAX_HOLDINGS_BYTES)
        url = f"{self.name}/holdings/{release}"
        try:
            with deadline, self._client.stream("GET", url, extensions=deadline.extensions) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise BlobUnavailable(sha256=release, status=answer.status_code)
                for piece in answer.iter_raw():
                    content += piece
                    if len(content) > MAX_HOLDINGS_BYTES:
                        raise MalformedDocument(document="Holdings", field="", problem="too long")
        except httpx.HTTPError as error:
            raise LinkLost(sha256=release, problem=deadline.problem(error)) from error
        return parse(Holdings, content)

    def read_range(self, sha256: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the range, unless the peer is too slow for a neighbour.

        Raises:
            BlobUnavailable, LinkLost: as HttpBlobSource.
        """
        deadline = _Deadline(length)
        blobs = HttpBlobSource(client=self._client, base_url=self.name, extensions=deadline.extensions)
        with deadline:
            yield from blobs.read_range(sha256, start, length)


class _Deadline:
    """Ends a request that is not over in time, whatever of it is slow: httpx bounds single reads only.

    SLOWEST_BYTES_A_SECOND is what a neighbour must give at the least, after a moment of grace.
    """

    def __init__(self, length: int) -> None:
        self._timer = threading.Timer(GRACE_SECONDS + length / SLOWEST_BYTES_A_SECOND, self._end)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self._is_over = False
        self.extensions = {"trace": self._trace}

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def problem(self, error: Exception) -> str:
        """Return the word for why the request ended."""
        return "slow" if self._is_over else type(error).__name__

    def _trace(self, event: str, details: Mapping[str, Any]) -> None:
        # Each request has a connection of its own, so that this comes once.
        if event == "connection.connect_tcp.complete":
            self._socket = details["return_value"].get_extra_info("socket")

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)


def peer_client() -> httpx.Client:
    """Return a client for peers: no proxy, no redirect, no header of this node's, each request its own connection."""
    limits = httpx.Limits(max_keepalive_connections=0)
    # Neighbours speak plain HTTP. Reading every public authority for them would cost a contact more than all they say.
    no_authority = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    headers = {"User-Agent": "soro-node"}
    return httpx.Client(timeout=TIMEOUT, trust_env=False, verify=no_authority, limits=limits, headers=headers)


def is_neighbour(address: str) -> bool:
    """Return whether an IP address can be that of a PC in the school's own network."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (found.is_private or found.is_link_local) and not (found.is_multicast or found.is_unspecified)


@dataclass(slots=True)
class _Standing:
    held: set[ChunkPlace] = field(default_factory=set)
    fetching: set[ChunkPlace] = field(default_factory=set)


class PeerPool:
    """The peers of one fetch, with what each can give."""

    def __init__(
        self,
        *,
        chunks: ChunkMap,
        peers: Callable[[], Sequence[Peer]],
        rng: random.Random,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask `peers` for those at hand, again and again, because PCs come and go."""
        self._chunks, self._peers, self._rng, self._sleep = chunks, peers, rng, sleep
        self._release = chunks.release
        self._standings: dict[str, tuple[Peer, _Standing]] = {}
        self._dropped: set[str] = set()
        self._looked_at = -LOOK_SECONDS
        self._patience_ends_at = time.monotonic() + PATIENCE_SECONDS

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody else at hand."""
        return not self._standings

    def look(self, *, at_once: bool = False) -> None:
        """Know again what the peers hold and fetch; at most once in LOOK_SECONDS, unless `at_once`."""
        if not at_once and time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        standings: dict[str, tuple[Peer, _Standing]] = {}
        for peer in self._peers():
            if peer.name not in self._dropped and (standing := self._ask(peer)) is not None:
                standings[peer.name] = (peer, standing)
        self._standings = standings
        self._looked_at = time.monotonic()

    def offer(self, missing: Sequence[ChunkPlace]) -> tuple[Peer, Run] | None:
        """Return a peer and a run of missing chunks that it holds, by chance among those that can; None: nobody can."""
        candidates = list(self._standings.values())
        self._rng.shuffle(candidates)
        for peer, standing in candidates:
            runs = list(self._chunks.runs([place for place in missing if place in standing.held]))
            if runs:
                return peer, self._rng.choice(runs)
        return None

    def fetched_by_others(self) -> set[ChunkPlace]:
        """Return the chunks that peers are fetching, as long as there is patience for it."""
        if time.monotonic() >= self._patience_ends_at:
            return set()
        return {place for _, standing in self._standings.values() for place in standing.fetching}

    def wait(self) -> None:
        """Let a short while of random length pass, so that two who gave way to one another do not do so for ever."""
        self._sleep(self._rng.uniform(0.1, LOOK_SECONDS))

    def progressed(self) -> None:
        """Have patience anew, because a chunk came."""
        self._patience_ends_at = time.monotonic() + PATIENCE_SECONDS

    def drop(self, peer: Peer, error: FederationError) -> None:
        """Ask this peer nothing more in this fetch."""
        _log.warning("peer %s is dropped: %s", peer.name, error)
        self._dropped.add(peer.name)
        self._standings.pop(peer.name, None)

    def _ask(self, peer: Peer) -> _Standing | None:
        try:
            return self._standing(peer.holdings(self._release))
        except BlobUnavailable as error:
            if error.fields["status"] == httpx.codes.NOT_FOUND:
                return _Standing()
            self.drop(peer, error)
        except FederationError as error:
            self.drop(peer, error)
        return None

    def _standing(self, said: Holdings) -> _Standing:
        places = self._chunks.places
        if said.release != self._release or len(said.chunks) != -(-len(places) // 8):
            raise MalformedDocument(document="Holdings", field="chunks", problem="of another release")
        held = {place for number, place in enumerate(places) if said.chunks[number // 8] & (0x80 >> number % 8)}
        # It may be fetching chunks of another variant with the same bytes as some of this one.
        fetching = {self._chunks.sha256(places[number]) for number in said.fetching if 0 <= number < len(places)}
        return _Standing(held=held, fetching={place for place in places if self._chunks.sha256(place) in fetching})


def holdings_bits(chunks: ChunkMap, held: set[ChunkPlace]) -> bytes:
    """Return the chunks `held`, and all others with the same bytes, as Holdings spell them."""
    bits = bytearray(-(-len(chunks.places) // 8))
    here = {chunks.sha256(place) for place in held & chunks.numbers.keys()}
    for number, place in enumerate(chunks.places):
        if chunks.sha256(place) in here:
            bits[number // 8] |= 0x80 >> number % 8
    return bytes(bits)
