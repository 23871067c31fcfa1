"""`node sync`: trade with the centre, once for a systemd timer, or for as long as the node runs."""

from __future__ import annotations

import random
import signal
import threading
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.sync.loop import contact_once, contacts_hold
from node.sync.services import ContactTimes


class Command(NodeCommand):
    """Syncs."""

    help = "trade with the centre"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the one-time form."""
        parser.add_argument("--once", action="store_true", help="hold one contact and end")
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Hold one contact, or contacts until told to end."""
        if not options["once"]:
            self._loop()
            return
        self.tables_make()
        report = contact_once(root=self.root, clock=timezone.now, times=ContactTimes())
        words = _("Contact held: %(up)d bytes up, %(down)d bytes down.") % {
            "up": report.bytes_up,
            "down": report.bytes_down,
        }
        answer = {
            "next_seconds": report.next_seconds,
            "bytes_up": report.bytes_up,
            "bytes_down": report.bytes_down,
            "failures": {step: error.code for step, error in report.failures.items()},
        }
        self.say(words, answer, as_json=options["json"])
        if report.failures:
            # The first failure becomes the command's own; the rest are in the log and on the status page.
            raise next(iter(report.failures.values()))

    def _loop(self) -> None:
        stopping = threading.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: stopping.set())
        contacts_hold(
            root=self.root,
            clock=timezone.now,
            rng=random.SystemRandom(),
            stopping=stopping,
            times=ContactTimes(),
        )
