"""`node page`: the page's server alone; `node run` starts it."""

from __future__ import annotations

from typing import Any

import uvicorn
from django.core.management.base import CommandParser

from node.doors import NodeCommand

GRACE_SECONDS = 5


class Command(NodeCommand):
    """Serves the page."""

    help = "serve the page (started by `node run`)"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the page listens."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8450)

    def act(self, options: dict[str, Any]) -> None:
        """Serve until told to end."""
        uvicorn.run(
            "node.asgi:application",
            host=options["host"],
            port=options["port"],
            log_level="warning",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
