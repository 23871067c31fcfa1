"""The page's process: the plain door, and beside it the one for HTTPS, which opens and shuts while the page runs."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import uvicorn

from node.https.door import HttpsDoor


class PageServer(uvicorn.Server):
    """Serves the page over plain HTTP, and keeps `door` meanwhile."""

    def __init__(self, config: uvicorn.Config, *, door: HttpsDoor) -> None:
        """Serve as `config` says."""
        super().__init__(config)
        self._door = door
        self._keeping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the plain door first: the other must never keep it from opening."""
        await super().startup(sockets)
        self._keeping = asyncio.create_task(self._door.keep())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut both doors at once, because the supervisor waits for neither long."""
        await asyncio.gather(super().shutdown(sockets), self._shut())

    async def _shut(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
