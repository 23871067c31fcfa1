"""`node train`: learn the newest round's update from this school's corrections, now."""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.rounds.services import Learner, train_start
from node.sync.enrol import enrolment_read


class Command(NodeCommand):
    """Learns."""

    help = "learn the newest round's update now"

    def arguments(self, parser: CommandParser) -> None:
        """Declare which plan."""
        parser.add_argument("--plan", help="the plan's id (default: the newest that starts from what runs here)")
        parser.add_argument("--unasked", action="store_true", help="only while the school's hours let this PC learn")
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Learn and say what came of it."""
        signal.signal(signal.SIGTERM, _end)
        self.tables_make()
        node_id = enrolment_read(self.root).node_id
        learner = Learner(root=self.root, node_id=node_id, clock=timezone.now, is_asked=not options["unasked"])
        update = train_start(learner=learner, plan_id=options["plan"])
        words = _("Learnt from %(labels)d ratings in %(seconds).0f seconds; the update has %(size)d bytes.") % {
            "labels": update.labels,
            "seconds": update.seconds,
            "size": update.size_bytes,
        }
        answer = {
            "plan_id": update.plan_id,
            "status": update.status,
            "counter": update.counter,
            "labels": update.labels,
            "sha256": update.sha256,
            "size_bytes": update.size_bytes,
            "seconds": update.seconds,
        }
        self.say(words, answer, as_json=options["json"])


def _end(*_: object) -> NoReturn:
    sys.exit(1)
