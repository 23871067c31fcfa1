"""A school's link to the centre: a TCP forwarder on loopback that counts bytes and can go down and up again."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any

PIECE_BYTES = 64 * 1024


class Link:
    """Forwards `port` to `target_port` on loopback while it is up; while down, connections are refused.

    Not a simulation of a slow link: bytes pass as fast as they come.
    """

    def __init__(self, *, port: int, target_port: int) -> None:
        self.port = port
        self.target_port = target_port
        self.bytes_down = 0
        self.bytes_up = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"link-{port}", daemon=True)
        self._thread.start()
        self.up()

    @property
    def bytes_total(self) -> int:
        """Bytes forwarded both ways since the link was made."""
        return self.bytes_down + self.bytes_up

    def up(self) -> None:
        """Accept connections."""
        self._wait(self._listen())

    def down(self) -> None:
        """Refuse connections and cut those that are open, in the middle of whatever they carry."""
        self._wait(self._cut())

    def close(self) -> None:
        """Go down for good and end the link's thread."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def _cut(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, is_up=True),
                self._pump(far_reader, writer, is_up=False),
            )
        finally:
            self._open -= {writer, far_writer}
            for end in (writer, far_writer):
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_up: bool) -> None:
        # Either end may be gone at any moment: that is what a link is for.
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if is_up:
                    self.bytes_up += len(piece)
                else:
                    self.bytes_down += len(piece)
                writer.write(piece)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
