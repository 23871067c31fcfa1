"""`central part NAME`: one part of what `central run` starts, in the foreground, for systemd and containers."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from central.command_line import CentreCommand
from central.supervisor import CentrePlan, part_exec


class Command(CentreCommand):
    """Become the part: web, worker, beat, metrics, superlink or superexec (of several: superlink-NAME)."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take which part, and where the centre listens."""
        parser.add_argument("name")
        parser.add_argument("--host", default="127.0.0.1", help="where the web server and the SuperLink listen")
        parser.add_argument("--port", type=int, default=8440)
        parser.add_argument("--fleet-port", type=int, default=8443, help="where SORO_CENTRAL_FLEET names none")

    def run(self, options: dict[str, Any]) -> None:
        """Become it."""
        plan = CentrePlan(
            root=settings.CENTRAL_ROOT,
            host=options["host"],
            port=options["port"],
            fleet_port=options["fleet_port"],
        )
        part_exec(plan, options["name"])
