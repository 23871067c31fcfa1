"""`central school_withdraw`: ask a school no more, take out what it sent, and say which versions still hold of it."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.training.withdrawal import school_find, school_withdraw


class Command(CentreCommand):
    """Withdraw a school from learning."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the school's name."""
        parser.add_argument("--name", required=True)
        parser.add_argument("--reason", default="command line")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Withdraw it."""
        traces = school_withdraw(
            school=school_find(options["name"]),
            actor="command line",
            reason=options["reason"],
            disk=centre_disk(),
            now=timezone.now(),
        )
        stays = ", ".join(str(trace.release) for trace in traces) or "none"
        text = f"«{options['name']}» has withdrawn. Versions that hold something of it: {stays}."
        self.answer({"traces": [asdict(trace) for trace in traces]}, as_json=options["json"], text=text)
