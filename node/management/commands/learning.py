"""`node learning show|hours|stop|resume`: whether and when this PC learns."""

from __future__ import annotations

import argparse
from datetime import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from node.doors import NodeCommand
from node.rounds.learning_settings import learning_hours_write, learning_resume, learning_stop
from node.rounds.learning_status import learning_status
from node.rounds.sentences import learning_sentence


class Command(NodeCommand):
    """Tells how far the learning is, sets its hours, stops it and lets it go on."""

    help = "tell, set, stop or resume the learning on this PC"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        show, hours, stop, resume = (verbs.add_parser(verb) for verb in ("show", "hours", "stop", "resume"))
        hours.add_argument("--opens", type=time.fromisoformat, required=True, help="such as 17:00")
        hours.add_argument("--closes", type=time.fromisoformat, required=True, help="such as 07:00")
        hours.add_argument("--idle-minutes", type=int, help="at any hour after so long without a question")
        stop.add_argument("--reason", default="", help="shown on the page")
        stop.add_argument("--by", default="technician", help="who says so; shown on the page")
        for verb in (show, hours, stop, resume):
            # The settings read it; here it is only let through behind the verb too.
            verb.add_argument("--root", type=Path, help=argparse.SUPPRESS)
            verb.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Do what the verb says, then tell how far the learning is."""
        self.tables_make()
        if options["verb"] == "hours":
            learning_hours_write(
                opens_at=options["opens"], closes_at=options["closes"], idle_minutes=options["idle_minutes"]
            )
        elif options["verb"] == "stop":
            learning_stop(reason=options["reason"], by=options["by"], now=timezone.now())
        elif options["verb"] == "resume":
            learning_resume()
        status = learning_status(root=self.root, now=timezone.now())
        answer = {
            "phase": status.phase.value,
            "hindrance": status.hindrance,
            "labels": status.labels,
            "min_labels": status.min_labels,
            "opens_at": status.settings.opens_at.isoformat("minutes"),
            "closes_at": status.settings.closes_at.isoformat("minutes"),
            "idle_minutes": status.settings.idle_minutes,
        }
        self.say(learning_sentence(status), answer, as_json=options["json"])
