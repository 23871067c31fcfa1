"""`node run`: the page, the engine, the sync loop and the relay, until this process is told to end."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import CommandParser
from django.db import connections
from django.utils import timezone
from django.utils.translation import gettext as _

from federation.ports import port_check
from node.backup.restoring import restore_settle
from node.backup.work import is_work_running
from node.chat.services import answers_abandon
from node.doors import NodeCommand
from node.supervisor import node_run
from node.textbooks.launch import reading_launch
from node.textbooks.services import readings_wait, shelf_clear


class Command(NodeCommand):
    """Runs the node."""

    help = "run the page, the engine, the sync loop and the relay"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the page listens."""
        parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 serves the whole school (default: this PC)")
        parser.add_argument("--port", type=int, default=8450)
        parser.add_argument(
            "--https-port",
            type=int,
            default=8451,
            help="where telephones find the page as an app, while the head wants it (default: 8451)",
        )
        parser.add_argument(
            "--relay-port",
            type=int,
            default=0,
            help="where the school's other PCs get releases (default: any free port)",
        )

    def act(self, options: dict[str, Any]) -> None:
        """Try the port, migrate, start the children and look after them."""
        host, port = options["host"], options["port"]
        port_check(host=host, port=port)
        if options["relay_port"]:
            port_check(host=host, port=options["relay_port"], option="--relay-port")
        (self.root / "logs").mkdir(parents=True, exist_ok=True)
        if not is_work_running(self.root):
            restore_settle(root=self.root, now=timezone.now())
        self.tables_make()
        answers_abandon(now=timezone.now())
        shelf_clear(root=self.root)
        if readings_wait():
            reading_launch(root=self.root)
        connections.close_all()
        stopping = threading.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: stopping.set())
        self.stdout.write(_("The school's page is at %(address)s") % {"address": f"http://{host}:{port}"})
        self.stdout.flush()
        node_run(
            root=self.root,
            host=host,
            port=port,
            https_port=options["https_port"],
            relay_port=options["relay_port"],
            clock=timezone.now,
            stopping=stopping,
        )
