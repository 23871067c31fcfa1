"""The port for HTTPS: open while the head wants it, in the page's own process and event loop, before the same page.

A door that cannot be opened never costs the plain one: it says why in its report, and tries again. A certificate that
was issued anew serves from the next handshake on; nobody who reads an answer is cut off for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from federation.errors import FederationError
from federation.trust.durable import durable_write
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.body_limit import Application
from node.https.errors import HttpsPortTaken

LOOK_SECONDS = 2.0
_REPORT = "https-door.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorReport:
    """Where the page listens, and whether it does so over HTTPS; `code` says why not where it should."""

    host: str
    port: int
    is_open: bool = False
    code: str = ""


def door_report(root: Path) -> DoorReport | None:
    """Return how the door is; None where no page runs that would have one."""
    try:
        return parse(DoorReport, (root / _REPORT).read_bytes())
    except (FileNotFoundError, MalformedDocument):
        return None


@dataclass(slots=True, kw_only=True)
class HttpsDoor:
    """The door of the page that listens on `host`.

    `certificate_of` is called in a thread, and returns the file to serve with, or None where the door is to be shut.
    """

    root: Path
    host: str
    port: int
    application: Application
    certificate_of: Callable[[], Path | None]
    grace_seconds: int
    _server: _Server | None = None
    _serving: asyncio.Task[None] | None = None
    _context: ssl.SSLContext | None = None
    _loaded: bytes = b""
    _report: DoorReport | None = None

    async def keep(self) -> None:
        """Open and shut the door as is wanted, until cancelled; it is shut then, and leaves no report."""
        try:
            while True:
                code = ""
                try:
                    await self._look()
                except FederationError as error:
                    code = error.code
                except OSError as error:
                    code = type(error).__name__
                await asyncio.to_thread(self._tell, code)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._shut()
            (self.root / _REPORT).unlink(missing_ok=True)

    async def _look(self) -> None:
        path = await asyncio.to_thread(self.certificate_of)
        if path is None:
            await self._shut()
            return
        content = await asyncio.to_thread(path.read_bytes)
        if self._context is None or not self._is_open:
            await self._shut()
            self._open(path)
        elif content != self._loaded:
            self._context.load_cert_chain(path)
        self._loaded = content

    @property
    def _is_open(self) -> bool:
        return self._serving is not None and not self._serving.done()

    def _open(self, path: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listening = socket.create_server((self.host, self.port), family=family)
        except OSError as error:
            raise HttpsPortTaken(port=self.port) from error
        config = uvicorn.Config(
            self.application,
            log_level="warning",
            lifespan="off",
            server_header=False,
            interface="asgi3",
            # Nothing stands between a telephone and this door, so nobody's word for another's address is taken.
            proxy_headers=False,
            ssl_context_factory=lambda _config, _default: context,
            timeout_graceful_shutdown=self.grace_seconds,
        )
        self._context, self._server = context, _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listening]))

    async def _shut(self) -> None:
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await asyncio.gather(self._serving, return_exceptions=True)
        self._server = self._serving = self._context = None

    def _tell(self, code: str) -> None:
        report = DoorReport(host=self.host, port=self.port, is_open=self._is_open, code=code)
        if report == self._report:
            return
        if code:
            _log.warning("https: the door is not as it should be: %s", code)
        durable_write(self.root / _REPORT, canonical_bytes(report))
        self._report = report


class _Server(uvicorn.Server):
    """A server whose process is told by another one when to end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
