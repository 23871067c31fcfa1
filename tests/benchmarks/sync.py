"""`make bench-sync`: bytes and seconds until a school has a release, against one plain resumable HTTP download.

Both go over the same shaped link (`shaped_link`), seconds are those of the link at its own speed. Ours is all of it:
TUF metadata, the index, the chunks, patches. The plain download is what `curl -C -` does, file by file. In `relay` five
PCs of one school fetch a base at once over one link and share it; plainly, each fetches it. `season` is the tenth
adapter of a season in which 4,000 schools sent an update each round: what comes beside its factors, with the list of
decision 0126 and with all digests in the index, as before.
"""

from __future__ import annotations

import http.server
import random
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import uvicorn
from rich.console import Console

from central.releases.patches import patches_write
from central.releases.tensor_places import tensors_place
from federation.trust.blob_sources import HttpBlobSource
from federation.trust.fetch import files_size_bytes, nobody, release_fetch
from federation.trust.peers import HttpPeer, Peer, peer_client
from federation.trust.release_bytes import index_build, index_digest
from federation.trust.tuf_client import TrustedReleases, root_accept, target_path
from federation.trust.tuf_publisher import repository_create, root_fingerprint, target_publish
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.contributions import LIST_NAME, Part, list_write
from federation.wire.releases import ReleaseIndex, ReleaseKind
from node.installed.disk import download_path, release_path, releases_present
from node.sync.relay_door import RelayDoor
from node.sync.shelf import Shelf
from tests.benchmarks.report import BENCH_ROOT, Row, report, row
from tests.benchmarks.shaped_link import ShapedLink
from tests.benchmarks.sync_faults import sync_fault_rows
from tests.benchmarks.sync_releases import (
    ADAPTER_BYTES,
    adapter_write,
    head_make,
    layers_make,
    layers_tune,
    package_write,
)

WORK = BENCH_ROOT / "sync"
LATENCY_SECONDS = 0.6
# So that no link is faster than a megabyte a second: beyond that the proxy itself would be measured.
SPEED_UP = {64: 8.0, 256: 16.0, 1024: 8.0}
DROP_EVERY_BYTES = 5_000_000
PCS = 5
SEASON_SCHOOLS, SEASON_ROUNDS = 4000, 10
_console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What crossed the link towards the school, and in how many seconds of the link's own."""

    bytes_down: int
    seconds: float


class Centre:
    """A centre's TUF repository and blobs, behind a server that answers ranges."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = {"root": root / "tuf", "keys": root / "keys"}
        self.metadata = repository_create(**self.repository, now=datetime.now(UTC))
        handler = type("Handler", (_Handler,), {"root": root})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def publish(
        self, folder: Path, *, older: tuple[Path, ReleaseIndex] | None = None, contributions: tuple[str, ...] = ()
    ) -> ReleaseIndex:
        """Return the index of the release in `folder`, with patches out of an `older` one."""
        index = index_build(
            package=folder,
            kind=ReleaseKind.BASE,
            version=1,
            title=folder.name,
            base=None,
            contributions=contributions,
            tensors=tensors_place(folder),
        )
        for entry in index.files:
            self._blob(entry.sha256, (folder / entry.path).read_bytes())
        if older is not None:
            draft = self.root / "patches"
            made = patches_write(
                folders={"": folder}, index=index, old_folders={"": older[0]}, old_index=older[1], into=draft
            )
            assert made
            self._blob(made.sha256, draft.read_bytes())
            index = replace(index, patches=(made,))
        path, now = target_path(index_digest(index)), datetime.now(UTC)
        target_publish(**self.repository, path=path, content=canonical_bytes(index), now=now)
        return index

    def _blob(self, sha256: str, content: bytes) -> None:
        assert sha256_hex(content) == sha256
        path = self.root / "blobs" / sha256
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        path = self.root / self.path.lstrip("/")
        if not path.is_file():
            self._head(404, 0)
            return
        size = path.stat().st_size
        asked = self.headers.get("Range", f"bytes=0-{size - 1}").removeprefix("bytes=").split("-")
        first, last = int(asked[0]), int(asked[1] or size - 1)
        self._head(206 if "Range" in self.headers else 200, last - first + 1, f"bytes {first}-{last}/{size}")
        with path.open("rb") as stream:
            stream.seek(first)
            shutil.copyfileobj(_Window(stream, last - first + 1), self.wfile)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _head(self, status: int, length: int, window: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if window:
            self.send_header("Content-Range", window)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


class _Window:
    def __init__(self, stream, left: int) -> None:
        self._stream, self._left = stream, left

    def read(self, size: int) -> bytes:
        content = self._stream.read(min(size, self._left))
        self._left -= len(content)
        return content


def ours(
    link: ShapedLink, centre: Centre, index: ReleaseIndex, root: Path, peers: Callable[[], Sequence[Peer]]
) -> None:
    """Bring the release to the school's PC at `root`, as a contact does."""
    root_accept(root=root / "tuf", metadata=centre.metadata, fingerprint=root_fingerprint(centre.metadata))
    with httpx.Client(timeout=60, trust_env=False) as client:
        trusted = TrustedReleases(root=root / "tuf", base_url=link.url, client=client)
        trusted.refresh(now=datetime.now(UTC))
        digest = index_digest(index)
        release_fetch(
            index=trusted.index_fetch(digest),
            source=HttpBlobSource(client=client, base_url=link.url),
            into=release_path(root, digest),
            partial=download_path(root, digest),
            reuse=releases_present(root),
            peers=peers,
            rng=random.Random(str(root)),
        )


def plain(link: ShapedLink, index: ReleaseIndex, into: Path) -> None:
    """Fetch the release's files one after another; a cut download goes on behind the bytes that it has."""
    into.mkdir(parents=True)
    with httpx.Client(timeout=60, trust_env=False) as client:
        for entry in index.files:
            path = into / entry.sha256
            path.touch()
            while (have := path.stat().st_size) < entry.size_bytes:
                _append(client, f"{link.url}/blobs/{entry.sha256}", have, path)
            assert sha256_hex(path.read_bytes()) == entry.sha256


def _append(client: httpx.Client, url: str, have: int, path: Path) -> None:
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={have}-"}) as answer, path.open("ab") as stream:
            for piece in answer.iter_raw():
                stream.write(piece)
    except httpx.HTTPError:
        return


def cost(centre: Centre, act: Callable[[ShapedLink], object], *, kbit_s: int, drop: int = 0) -> Cost:
    """Return what `act` cost over a fresh link."""
    link = ShapedLink(
        centre.server.server_port,
        kbit_s=kbit_s,
        latency_seconds=LATENCY_SECONDS,
        speed_up=SPEED_UP[kbit_s],
        drop_every_bytes=drop,
    )
    with link:
        began = time.monotonic()
        act(link)
        seconds = (time.monotonic() - began) * SPEED_UP[kbit_s]
    return Cost(link.bytes_down, seconds)


@contextmanager
def door(root: Path) -> Iterator[str]:
    """Keep the door of the PC at `root` open and yield its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(RelayDoor(Shelf(root)), log_level="warning", lifespan="off", interface="asgi3", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def relay(link: ShapedLink, centre: Centre, index: ReleaseIndex, school: Path) -> None:
    """Bring the release to all PCs of a school at once."""
    roots = [school / str(number) for number in range(PCS)]
    with ExitStack() as stack:
        client = stack.enter_context(peer_client())
        doors = [stack.enter_context(door(root)) for root in roots]

        def others(own: str) -> list[Peer]:
            return [HttpPeer(client=client, base_url=url) for url in doors if url != own]

        threads = [
            threading.Thread(target=ours, args=(link, centre, index, root, lambda own=own: others(own)))
            for root, own in zip(roots, doors, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(release_path(root, index_digest(index)).exists() for root in roots)


def main() -> int:
    """Publish, measure, report."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    rng = np.random.default_rng(7)
    centre = Centre(WORK / "centre")
    head, layers = head_make(rng), layers_make(rng)
    tuned = layers_tune(layers, rng)
    base_folder = package_write(WORK / "packages" / "base", head, layers)
    base = centre.publish(base_folder)
    newer = centre.publish(package_write(WORK / "packages" / "newer", head, tuned), older=(base_folder, base))
    adapter = centre.publish(adapter_write(WORK / "packages" / "adapter", rng))
    rows = [
        *_adapter(centre, adapter),
        *_base_and_newer(centre, base, newer),
        *_flaky(centre, base),
        *_relay(centre, base),
        *_season(centre, rng),
        *sync_fault_rows(),
    ]
    shutil.rmtree(WORK)
    return report("sync", rows)


def _adapter(centre: Centre, adapter: ReleaseIndex) -> list[Row]:
    rows = []
    for kbit_s in (64, 256, 1024):
        root = WORK / f"a{kbit_s}"
        own = cost(centre, lambda link, root=root: ours(link, centre, adapter, root, nobody), kbit_s=kbit_s)
        other = cost(centre, lambda link, root=root: plain(link, adapter, root / "plain"), kbit_s=kbit_s)
        rows += _pair(f"adapter_{kbit_s}", own, other)
    return rows


def _base_and_newer(centre: Centre, base: ReleaseIndex, newer: ReleaseIndex) -> list[Row]:
    rows = [row("base_payload", files_size_bytes(base.files) / 1e6, "MB")]
    for kbit_s in (256, 1024):
        root = WORK / f"b{kbit_s}"
        own = cost(centre, lambda link, root=root: ours(link, centre, base, root, nobody), kbit_s=kbit_s)
        other = cost(centre, lambda link, root=root: plain(link, base, root / "plain"), kbit_s=kbit_s)
        rows += _pair(f"base_{kbit_s}", own, other, at_most=1.02)
        own = cost(centre, lambda link, root=root: ours(link, centre, newer, root, nobody), kbit_s=kbit_s)
        # The plain download of the newer one is as long as that of the base.
        rows += _pair(f"newer_base_{kbit_s}", own, other, at_most=0.3)
    return rows


def _flaky(centre: Centre, base: ReleaseIndex) -> list[Row]:
    payload = files_size_bytes(base.files)
    own = cost(centre, lambda link: ours(link, centre, base, WORK / "f", nobody), kbit_s=1024, drop=DROP_EVERY_BYTES)
    other = cost(centre, lambda link: plain(link, base, WORK / "pf"), kbit_s=1024, drop=DROP_EVERY_BYTES)
    return [
        row("flaky_bytes_ratio", own.bytes_down / payload, "of the payload", at_most=1.02),
        row("flaky_plain_bytes_ratio", other.bytes_down / payload, "of the payload"),
        row("flaky_seconds_ratio", own.seconds / other.seconds, "of plain", at_most=1.1),
    ]


def _relay(centre: Centre, base: ReleaseIndex) -> list[Row]:
    payload = files_size_bytes(base.files)
    own = cost(centre, lambda link: relay(link, centre, base, WORK / "school"), kbit_s=1024)
    other = cost(centre, lambda link: plain(link, base, WORK / "pr"), kbit_s=1024)
    return [
        row("relay_bytes_ratio", own.bytes_down / payload, "of one payload, five PCs", at_most=1.1),
        row("relay_seconds_ratio", own.seconds / (PCS * other.seconds), "of five plain, one by one", at_most=0.3),
        row("relay_seconds", own.seconds, "s"),
    ]


def _season(centre: Centre, rng: np.random.Generator) -> list[Row]:
    parts = [
        Part(
            version=round_number,
            updates=tuple(sha256_hex(f"{round_number}/{school}".encode()) for school in range(SEASON_SCHOOLS)),
        )
        for round_number in range(1, SEASON_ROUNDS + 1)
    ]
    whole = adapter_write(WORK / "packages" / "whole", rng)
    before = centre.publish(whole, contributions=tuple(update for part in parts for update in part.updates))
    ninth, tenth = (_listed(centre, adapter_write(WORK / "packages" / name, rng), parts[:count])
                    for name, count in (("ninth", SEASON_ROUNDS - 1), ("tenth", SEASON_ROUNDS)))  # fmt: skip
    follows, dark = WORK / "follows", WORK / "dark"
    cost(centre, lambda link: ours(link, centre, ninth, follows, nobody), kbit_s=1024)
    beside = {
        "before": cost(centre, lambda link: ours(link, centre, before, WORK / "before", nobody), kbit_s=1024),
        "follows": cost(centre, lambda link: ours(link, centre, tenth, follows, nobody), kbit_s=1024),
        "dark": cost(centre, lambda link: ours(link, centre, tenth, dark, nobody), kbit_s=1024),
    }
    bars = {"before": None, "follows": 50.0, "dark": 350.0}
    return [
        row(f"season_{name}_kb", (each.bytes_down - ADAPTER_BYTES) / 1000, "kB beside the factors", at_most=bars[name])
        for name, each in beside.items()
    ]


def _listed(centre: Centre, folder: Path, parts: Sequence[Part]) -> ReleaseIndex:
    (folder / LIST_NAME).write_bytes(list_write(parts))
    return centre.publish(folder)


def _pair(name: str, own: Cost, other: Cost, *, at_most: float | None = None) -> list[Row]:
    _console.print(
        f"{name}: {own.bytes_down} bytes in {own.seconds:.0f} s, plain {other.bytes_down} in {other.seconds:.0f} s"
    )
    return [
        row(f"{name}_bytes_ratio", own.bytes_down / other.bytes_down, "of plain", at_most=at_most),
        row(f"{name}_seconds_ratio", own.seconds / other.seconds, "of plain", at_most=at_most and at_most + 0.08),
        row(f"{name}_seconds", own.seconds, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
