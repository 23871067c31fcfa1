"""`node engine`: the process that holds the model and answers on a Unix socket; `node run` starts it."""

from __future__ import annotations

import fcntl
import signal
import threading
from typing import Any

from django.utils import timezone

from federation.errors import CapacityError
from node.chat.engine_server import EngineServer
from node.doors import NodeCommand
from node.root import engine_socket_path


class EngineRunning(CapacityError):
    """Another engine process holds this root."""

    code = "engine_running"


class Command(NodeCommand):
    """Serves the model."""

    help = "hold the model and answer the page (started by `node run`)"

    def act(self, options: dict[str, Any]) -> None:
        """Serve until told to end."""
        del options
        stopping = threading.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: stopping.set())
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "engine.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise EngineRunning(root=str(self.root)) from error
            EngineServer(
                root=self.root, socket_path=engine_socket_path(self.root), clock=timezone.now, stopping=stopping
            ).serve()
