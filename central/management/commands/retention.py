"""`central retention show|keep`: what the centre may forget by now, and forgetting it at once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.retention.services import Kept, retention_keep, retention_show


class Command(CentreCommand):
    """Say what would go, or let it go."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take what to do."""
        ways = parser.add_subparsers(dest="way", required=True)
        ways.add_parser("show", help="what may go by now; nothing changes")
        ways.add_parser("keep", help="let it go now, as the worker does every hour")
        for way in ways.choices.values():
            way.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
            way.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Do it."""
        disk, now = centre_disk(), timezone.now()
        if options["way"] == "show":
            found = retention_show(disk=disk, now=now)
        else:
            found = retention_keep(disk=disk, actor="command line", now=now)
        verb = "may go" if options["way"] == "show" else "went"
        text = "\n".join(_line(each, verb) for each in found)
        self.answer({"rules": found}, as_json=options["json"], text=text)


def _line(kept: Kept, verb: str) -> str:
    since = f"{kept.months} months, since {kept.before:%Y-%m-%d}" if kept.months else "until they end"
    return f"{kept.name}: {kept.rows} {verb} ({kept.words}; kept: {since})"
