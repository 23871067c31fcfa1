"""A bad link between a node and its centre: a real HTTP proxy on loopback that fails in every way links do.

It stands where the school's link stands: `FaultProxy(target, link=…)` listens on a port of its own, `url` is what the
node is given as its centre, and everything goes over real sockets. What goes wrong is a `Link`, a plain value; the same
link with the same seed does the same to the same sequence of requests, so a failure can be played again. Nothing of the
proxy knows the project's documents.

| field of Link | what happens |
|---|---|
| `cut_every_bytes` | after each n-th byte, both ways and over all connections, the connection ends: reset or in order |
| `request_loss` | this share of requests never reaches the centre; the connection ends |
| `answer_loss` | this share of requests is carried out, and the answer never comes back |
| `latency_seconds` | each answer's first byte comes this much later |
| `bytes_per_second` | both directions are held to this rate |
| `busy_share` | this share of requests is answered with 503 (`retry_after_seconds` beside it) |
| `truncate_share` | this share of answers ends in the middle of its body, and looks whole (Content-Length fits) |
| `swap_share` | this share of answers carries the body of an earlier answer |
| `stale_share` | this share of GETs is answered with what the same GET got first |
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PIECE_BYTES = 4096
HEAD_LIMIT_BYTES = 64 * 1024
HOP_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How bad the link is; the default is a perfect one."""

    cut_every_bytes: int | None = None
    request_loss: float = 0.0
    answer_loss: float = 0.0
    latency_seconds: float = 0.0
    bytes_per_second: int | None = None
    busy_share: float = 0.0
    retry_after_seconds: int | None = None
    truncate_share: float = 0.0
    swap_share: float = 0.0
    stale_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the centre said, whole."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What the node asked, whole."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the header's value, or nothing."""
        return next((value for held, value in self.headers if held.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Passing:
    """How much of a piece gets through, and whether the link ends behind it."""

    size: int
    is_cut: bool


class _Cut(Exception):
    """The link ended here."""


@dataclass
class Tally:
    """What crossed the link: bytes of whole HTTP, both ways, without TCP's own; and how often it failed."""

    bytes_up: int = 0
    bytes_down: int = 0
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def bytes_total(self) -> int:
        """Both ways together."""
        return self.bytes_up + self.bytes_down


class FaultProxy:
    """Passes HTTP on to `target` over the `link`, until it is closed; a test may set another `link` on the way."""

    def __init__(self, target: str, *, link: Link, seed: int = 0, sleep: Callable[[float], None] = time.sleep) -> None:
        """Listen on a free port; `sleep` is what a slow link waits with."""
        self._target = urlsplit(target)
        self._seed, self._sleep = seed, sleep
        self.link = link
        self.tally = Tally()
        self._first: dict[tuple[str, str, str], Answer] = {}
        self._earlier: list[bytes] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, name="fault-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Small buffers: what a cut link had in its own buffers would count as sent and has not arrived.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE_BYTES)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = _Wire(client, self)
        try:
            while (request := wire.request_read()) is not None:
                wire.answer_write(self._through(request))
        except (_Cut, OSError, HTTPException):
            wire.end()
        finally:
            client.close()

    def _through(self, request: Request) -> Answer:
        """Return what comes back over the link for `request`, or raise _Cut where nothing does."""
        with self._lock:
            self.tally.requests += 1
            rng = random.Random(f"{self._seed}:{self.tally.requests}")
        link = self.link
        self._chance(rng, "request lost", link.request_loss)
        if rng.random() < link.busy_share:
            return self._busy(link)
        key = (request.method, request.path, request.header("range"))
        if request.method == "GET" and rng.random() < link.stale_share and key in self._first:
            self._count("stale")
            return self._first[key]
        answer = self._ask(request)
        self._chance(rng, "answer lost", link.answer_loss)
        self._sleep(link.latency_seconds)
        return self._spoiled(answer, key, rng, link)

    def _chance(self, rng: random.Random, what: str, share: float) -> None:
        if rng.random() < share:
            self._count(what)
            raise _Cut

    def _busy(self, link: Link) -> Answer:
        self._count("busy")
        headers = () if link.retry_after_seconds is None else (("Retry-After", str(link.retry_after_seconds)),)
        return Answer(503, "Service Unavailable", headers, b"")

    def _spoiled(self, answer: Answer, key: tuple[str, str, str], rng: random.Random, link: Link) -> Answer:
        body = answer.body
        if rng.random() < link.truncate_share:
            self._count("truncated")
            body = body[: rng.randrange(len(body) + 1)]
        elif rng.random() < link.swap_share and self._earlier:
            self._count("swapped")
            body = rng.choice(self._earlier)
        with self._lock:
            self._first.setdefault(key, answer)
            self._earlier = [*self._earlier[-20:], answer.body]
        return Answer(answer.status, answer.reason, answer.headers, body)

    def _ask(self, request: Request) -> Answer:
        centre = HTTPConnection(str(self._target.hostname), self._target.port, timeout=60)
        with contextlib.closing(centre):
            centre.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in HOP_HEADERS:
                    centre.putheader(name, value)
            if request.body or request.method == "POST":
                centre.putheader("Content-Length", str(len(request.body)))
            centre.endheaders(request.body or None)
            came = centre.getresponse()
            return Answer(came.status, came.reason, tuple(came.getheaders()), came.read())

    def passing(self, size: int) -> Passing:
        """Return how many of `size` bytes get through, after the time that they take."""
        link = self.link
        is_cut = False
        if link.cut_every_bytes is not None:
            left = link.cut_every_bytes - self.tally.bytes_total % link.cut_every_bytes
            is_cut, size = size >= left, min(size, left)
        if is_cut:
            self._count("cut")
        if link.bytes_per_second is not None:
            self._sleep(size / link.bytes_per_second)
        return Passing(size, is_cut)

    def _count(self, what: str) -> None:
        with self._lock:
            self.tally.faults[what] = self.tally.faults.get(what, 0) + 1


class _Wire:
    """One connection of the node's, as the link lets it through."""

    def __init__(self, client: socket.socket, proxy: FaultProxy) -> None:
        self._client, self._proxy = client, proxy
        self._ahead = b""

    def request_read(self) -> Request | None:
        """Return the next request, or None where the node has ended the connection."""
        while b"\r\n\r\n" not in self._ahead:
            piece = self._receive()
            if not piece or len(self._ahead) > HEAD_LIMIT_BYTES:
                return None
            self._ahead += piece
        head, _, self._ahead = self._ahead.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ", 2)
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        request = Request(method, path, headers, b"")
        length = int(request.header("content-length") or 0)
        while len(self._ahead) < length:
            piece = self._receive()
            if not piece:
                return None
            self._ahead += piece
        body, self._ahead = self._ahead[:length], self._ahead[length:]
        return Request(method, path, headers, body)

    def answer_write(self, answer: Answer) -> None:
        """Send the answer, as far as the link lets it through."""
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() not in HOP_HEADERS]
        lines += [f"Content-Length: {len(answer.body)}", "", ""]
        for piece in _pieces("\r\n".join(lines).encode("latin-1") + answer.body):
            self._send(piece)

    def end(self) -> None:
        """End the connection: by turns with a reset, as a router does, and in good order, as a proxy does."""
        if self._proxy.tally.requests % 2:
            with contextlib.suppress(OSError):
                self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _receive(self) -> bytes:
        piece = self._client.recv(PIECE_BYTES)
        passing = self._proxy.passing(len(piece))
        self._proxy.tally.bytes_up += passing.size
        if passing.is_cut:
            raise _Cut
        return piece

    def _send(self, piece: bytes) -> None:
        passing = self._proxy.passing(len(piece))
        self._client.sendall(piece[: passing.size])
        self._proxy.tally.bytes_down += passing.size
        if passing.is_cut:
            raise _Cut


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
