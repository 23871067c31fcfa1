"""`node relay`: the door for the school's other PCs; `node run` starts it."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import CommandParser
from django.db import close_old_connections

from node.doors import NodeCommand
from node.sync.link_settings import link_settings_read
from node.sync.relay import relay_run


class Command(NodeCommand):
    """Gives chunks of releases to the school's other PCs, and finds them."""

    help = "give releases to the school's other PCs (started by `node run`)"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the door listens."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=0)

    def act(self, options: dict[str, Any]) -> None:
        """Keep the door until told to end."""
        stopping = threading.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: stopping.set())
        relay_run(root=self.root, host=options["host"], port=options["port"], is_shared=_is_shared, stopping=stopping)


def _is_shared() -> bool:
    close_old_connections()
    return link_settings_read().is_shared
