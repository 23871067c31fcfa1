"""Other PCs of the school as sources: what they have is taken and verified, and what they are is never a danger."""

import contextlib
import http.server
import random
import socket
import threading
import time

import pytest

from federation.trust.blob_sources import HttpBlobSource
from federation.trust.chunk_store import ChunkMap
from federation.trust.errors import ChunkMismatch, LinkLost
from federation.trust.fetch import release_fetch
from federation.trust.peers import HttpPeer, holdings_bits, is_neighbour, peer_client
from federation.trust.release_bytes import index_digest, index_verify
from federation.wire.canonical import canonical_bytes
from federation.wire.relay import Holdings
from federation.wire.releases import CHUNK_BYTES


class Liar:
    """A peer's door that says that it has everything, and gives what `answer` makes of the right bytes."""

    def __init__(self, centre, index, *, answer=lambda content: content, fetching=(), bits=None):
        chunks = ChunkMap(index_digest(index), index.files)
        self.holdings = Holdings(
            release=index_digest(index),
            chunks=holdings_bits(chunks, set(chunks.places)) if bits is None else bits,
            fetching=tuple(fetching),
        )
        self.asked = []
        outer = self

        class Door(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                if self.path.startswith("/holdings/"):
                    self._send(200, canonical_bytes(outer.holdings), {})
                    return
                digest = self.path.removeprefix("/blobs/")
                first, last = (int(word) for word in self.headers["Range"].removeprefix("bytes=").split("-"))
                content = (centre.root / "blobs" / digest[:2] / digest).read_bytes()[first : last + 1]
                self._send(206, answer(content), {"Content-Range": f"bytes {first}-{last}/*"})

            def _send(self, status, body, headers):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in [body] if isinstance(body, bytes) else body:
                    self.wfile.write(piece)

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Trickling:
    """A peer's door that is never done with its headers."""

    def __init__(self):
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.connections = 0
        self.thread = threading.Thread(target=self._answer)
        self.thread.start()

    def _answer(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listening.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    while True:
                        time.sleep(0.05)
                        connection.sendall(b"X-More: of it\r\n")

    def close(self):
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self.thread.join()


@pytest.fixture
def index(centre, package):
    return centre.release_publish(package)


@pytest.fixture
def fetch(centre, index, client, tmp_path):
    doors, opened = [], []

    def run(*peers, source=None, **options):
        others = peer_client()
        opened.append(others)
        doors.extend(peers)
        return release_fetch(
            index=index,
            source=source or HttpBlobSource(client=client, base_url=centre.url),
            into=tmp_path / "node/releases/d",
            partial=tmp_path / "node/downloads/d",
            peers=lambda: [HttpPeer(client=others, base_url=peer.url) for peer in peers],
            rng=random.Random(1),
            **options,
        )

    yield run
    for each in [*doors, *opened]:
        each.close()


def _blob_requests(centre):
    return [path for path, _ in centre.requests if path.startswith("/blobs/")]


def test_what_a_peer_has_is_taken_from_it_and_nothing_from_the_centre(centre, index, fetch):
    honest = Liar(centre, index)
    index_verify(fetch(honest), index)
    assert _blob_requests(centre) == []


def test_a_peer_that_gives_wrong_bytes_is_found_out_by_the_first_chunk_and_not_asked_again(centre, index, fetch):
    liar = Liar(centre, index, answer=lambda content: bytes(byte ^ 1 for byte in content))
    index_verify(fetch(liar), index)
    assert len([path for path, _ in liar.asked if path.startswith("/blobs/")]) == 1
    assert _blob_requests(centre)


def test_wrong_bytes_of_a_peer_are_never_kept_where_there_is_no_centre(centre, index, fetch, tmp_path):
    class Away:
        def read_range(self, sha256, _start, _length):
            raise LinkLost(sha256=sha256, problem="away")

    with pytest.raises(LinkLost):
        fetch(Liar(centre, index, answer=lambda content: bytes(len(content))), source=Away())
    assert not (tmp_path / "node/releases").exists()
    assert not (tmp_path / "node/downloads/d/journal").exists()


def test_a_peer_that_sends_without_end_costs_no_more_than_what_was_asked_for(centre, index, fetch):
    def endless(content):
        yield content
        while True:
            yield bytes(65536)

    index_verify(fetch(Liar(centre, index, answer=endless)), index)
    assert _blob_requests(centre) == []


def test_a_slow_peer_is_dropped_and_the_centre_asked(centre, index, fetch, monkeypatch):
    def trickle(content):
        for at in range(0, len(content), 1000):
            yield content[at : at + 1000]
            time.sleep(0.05)

    # Seconds of grace are what a school has; a test has enough of one for an answer that is not slow.
    monkeypatch.setattr("federation.trust.peers.GRACE_SECONDS", 0.5)
    monkeypatch.setattr("federation.trust.peers.SLOWEST_BYTES_A_SECOND", 10_000_000)
    slow = Liar(centre, index, answer=trickle)
    index_verify(fetch(slow), index)
    assert len([path for path, _ in slow.asked if path.startswith("/blobs/")]) == 1


def test_a_peer_that_trickles_even_its_headers_is_dropped(centre, index, fetch, monkeypatch):
    monkeypatch.setattr("federation.trust.peers.GRACE_SECONDS", 0.3)
    monkeypatch.setattr("federation.trust.peers.SLOWEST_BYTES_A_SECOND", 10_000_000)
    trickling = Trickling()
    began = time.monotonic()
    index_verify(fetch(trickling), index)
    assert time.monotonic() - began < 10
    assert trickling.connections == 1


@pytest.mark.parametrize("bits", [b"", b"\xff", bytes(1000)])
def test_a_peer_whose_holdings_are_of_another_length_is_dropped(centre, index, fetch, bits):
    odd = Liar(centre, index, bits=bits)
    index_verify(fetch(odd), index)
    assert [path for path, _ in odd.asked] == [f"/holdings/{index_digest(index)}"]


def test_a_dead_peer_costs_nothing_but_its_refusal(centre, index, fetch):
    dead = Liar(centre, index)
    dead.server.socket.close()
    index_verify(fetch(dead), index)


def test_a_peer_that_claims_to_fetch_everything_is_not_waited_for_for_ever(centre, index, fetch, monkeypatch):
    monkeypatch.setattr("federation.trust.peers.PATIENCE_SECONDS", 0.5)
    claimant = Liar(centre, index, bits=bytes(2), fetching=range(12))
    began = time.monotonic()
    index_verify(fetch(claimant), index)
    assert time.monotonic() - began > 0.5


def test_what_a_peer_is_fetching_is_not_fetched_as_long_as_there_is_something_else(centre, index, fetch):
    taken = list(range(4))
    claimant = Liar(centre, index, bits=bytes(2), fetching=taken)
    heard = []

    def progress(done, total):
        heard.append(done)
        if total - done <= 4 * CHUNK_BYTES:
            claimant.holdings = Holdings(release=claimant.holdings.release, chunks=b"\xf0\0", fetching=())

    index_verify(fetch(claimant, progress=progress), index)
    model = next(entry for entry in index.files if entry.path == "model.bin")
    asked = [int(asked.removeprefix("bytes=").split("-")[0]) for path, asked in centre.requests if model.sha256 in path]
    assert asked
    assert min(asked) == 4 * CHUNK_BYTES


def test_a_peer_sees_neither_the_nodes_session_nor_follows_it_elsewhere(centre, index, fetch, client):
    client.headers["Authorization"] = "Bearer secret"
    honest = Liar(centre, index)
    fetch(honest)
    assert all("Authorization" not in headers for _, headers in honest.asked)


def test_a_centre_that_gives_wrong_bytes_is_still_refused_beside_peers(centre, index, fetch, tmp_path):
    model = next(entry for entry in index.files if entry.path == "model.bin")
    blob = centre.root / "blobs" / model.sha256[:2] / model.sha256
    blob.write_bytes(bytes(blob.stat().st_size))
    nobody_has_it = Liar(centre, index, bits=bytes(2))
    with pytest.raises(ChunkMismatch):
        fetch(nobody_has_it)
    assert not (tmp_path / "node/releases").exists()


@pytest.mark.parametrize(
    ("address", "is_near"),
    [
        ("192.168.1.7", True),
        ("10.0.0.1", True),
        ("169.254.3.4", True),
        ("127.0.0.1", True),
        ("8.8.8.8", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.251", False),
        ("no address", False),
    ],
)
def test_only_addresses_of_the_schools_own_network_are_neighbours(address, is_near):
    assert is_neighbour(address) is is_near
