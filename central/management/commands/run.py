"""`central run`: the whole embedded centre in one command."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from central.command_line import CentreCommand
from central.supervisor import CentrePlan, centre_run


class Command(CentreCommand):
    """Run web, worker with beat, SuperLink and SuperExec until SIGINT or SIGTERM."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the ports."""
        parser.add_argument("--host", default="127.0.0.1", help="where the web server and the SuperLink listen")
        parser.add_argument("--port", type=int, default=8440)
        parser.add_argument("--fleet-port", type=int, default=8443)

    def run(self, options: dict[str, Any]) -> None:
        """Run until told to end."""
        plan = CentrePlan(
            root=settings.CENTRAL_ROOT,
            host=options["host"],
            port=options["port"],
            fleet_port=options["fleet_port"],
        )
        centre_run(plan, announce=self.stdout.write)
