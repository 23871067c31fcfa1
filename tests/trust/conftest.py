"""A real centre on loopback: TUF repository, blobs with Range, and a link that can be cut after any byte."""

from __future__ import annotations

import http.server
import random
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from federation.trust.release_bytes import index_build, index_digest
from federation.trust.tuf_client import TrustedReleases, root_accept, target_path
from federation.trust.tuf_publisher import repository_create, root_fingerprint, target_publish
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.releases import ReleaseIndex, ReleaseKind

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


@dataclass
class Centre:
    """A centre's disk and the server in front of it."""

    root: Path
    url: str = ""
    cut_after_bytes: list[int] = field(default_factory=list)
    """Each blob request takes the first of these; its answer ends there, mid-body."""
    requests: list[tuple[str, str]] = field(default_factory=list)

    @property
    def repository(self) -> dict[str, Path]:
        return {"root": self.root / "tuf", "keys": self.root / "keys"}

    def blob_put(self, content: bytes) -> str:
        digest = sha256_hex(content)
        path = self.root / "blobs" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def release_publish(
        self,
        package: Path,
        *,
        version: int = 1,
        now: datetime = NOW,
        tensors: Mapping[str, tuple[int, ...]] | None = None,
    ) -> ReleaseIndex:
        index = index_build(
            package=package,
            kind=ReleaseKind.BASE,
            version=version,
            title="t",
            base=None,
            contributions=(),
            tensors=tensors,
        )
        for path in sorted(package.rglob("*")):
            if path.is_file():
                self.blob_put(path.read_bytes())
        target_publish(
            **self.repository, path=target_path(index_digest(index)), content=canonical_bytes(index), now=now
        )
        return index

    def node(self, root: Path, client: httpx.Client) -> TrustedReleases:
        metadata = (self.root / "tuf" / "metadata" / "1.root.json").read_bytes()
        root_accept(root=root, metadata=metadata, fingerprint=root_fingerprint(metadata))
        return TrustedReleases(root=root, base_url=self.url, client=client)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    centre: Centre

    def do_GET(self) -> None:
        self.centre.requests.append((self.path, self.headers.get("Range", "")))
        if self.path.startswith("/blobs/"):
            digest = self.path.removeprefix("/blobs/")
            path = self.centre.root / "blobs" / digest[:2] / digest
        else:
            path = self.centre.root / self.path.lstrip("/")
        if not path.is_file():
            self._answer(404, b"", {})
            return
        content = path.read_bytes()
        asked = self.headers.get("Range")
        if asked is None:
            self._answer(200, content, {})
            return
        first, last = (int(word) for word in asked.removeprefix("bytes=").split("-"))
        window = content[first : last + 1]
        self._answer(206, window, {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        cut = self.centre.cut_after_bytes.pop(0) if status == 206 and self.centre.cut_after_bytes else len(body)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut < len(body):
            self.close_connection = True

    def log_message(self, *_arguments: object) -> None:
        """Stay silent."""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    made = Centre(root=tmp_path / "centre")
    repository_create(**made.repository, now=NOW)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"centre": made}))
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=5) as made:
        yield made


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Three files: several chunks with a short last one, exactly one chunk, and an empty one in a folder."""
    rng = random.Random(7)
    directory = tmp_path / "package"
    (directory / "sub").mkdir(parents=True)
    (directory / "model.bin").write_bytes(rng.randbytes(9 * 256 * 1024 + 77))
    (directory / "one.bin").write_bytes(rng.randbytes(256 * 1024))
    (directory / "sub" / "empty.txt").write_bytes(b"")
    return directory
