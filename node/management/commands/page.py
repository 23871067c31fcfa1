"""`node page`: the page's server alone; `node run` starts it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import uvicorn
from django.core.management.base import CommandParser
from django.db import close_old_connections
from django.utils import timezone

from node.doors import NodeCommand
from node.https.door import HttpsDoor
from node.https.here import clock_of_here
from node.https.page_server import PageServer
from node.https.services import certificate_keep, is_switched_on

GRACE_SECONDS = 5


class Command(NodeCommand):
    """Serves the page."""

    help = "serve the page (started by `node run`)"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the page listens."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8450)
        parser.add_argument("--https-port", type=int, default=8451)

    def act(self, options: dict[str, Any]) -> None:
        """Serve until told to end."""
        # Only here, because the page's addresses are read with it.
        from node.asgi import application  # noqa: PLC0415

        config = uvicorn.Config(
            application,
            host=options["host"],
            port=options["port"],
            log_level="warning",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        door = HttpsDoor(
            root=self.root,
            host=options["host"],
            port=options["https_port"],
            application=application,
            certificate_of=lambda: _certificate_of(self.root),
            grace_seconds=GRACE_SECONDS,
        )
        with contextlib.suppress(KeyboardInterrupt):
            PageServer(config, door=door).run()


def _certificate_of(root: Path) -> Path | None:
    """Return the certificate's file while the head wants the page by HTTPS."""
    if not is_switched_on(root):
        return None
    now = timezone.now()
    try:
        return certificate_keep(root=root, now=now, clock_of=lambda: clock_of_here(root, now))
    finally:
        close_old_connections()
