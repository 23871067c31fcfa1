"""`node address_sheet`: the address that pupils type, and a page for the wall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from federation.trust.durable import durable_write
from node.address_sheet import address_sheet, page_addresses
from node.doors import NodeCommand
from node.own_addresses import own_addresses
from node.sync.enrol import enrolment_read
from node.sync.errors import NotEnrolled


class Command(NodeCommand):
    """Prints addresses."""

    help = "print the page's addresses on the school's network, and leave a page for the wall"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the page listens, and where the sheet goes."""
        parser.add_argument("--port", type=int, default=8450, help="the page's port (default: 8450)")
        parser.add_argument("--out", type=Path, help="a page of HTML to print")
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Look at this PC's network."""
        addresses = page_addresses(hosts=own_addresses("0.0.0.0"), port=options["port"])  # nosec B104 # noqa: S104 - asks, binds nothing
        if options["out"]:
            durable_write(options["out"], address_sheet(addresses=addresses, school=self._school()).encode())
        nowhere = _("This PC has no address on the school's network yet; connect it, and ask again.")
        self.say("\n".join(addresses) or nowhere, {"addresses": addresses}, as_json=options["json"])

    def _school(self) -> str:
        try:
            return enrolment_read(self.root).school
        except NotEnrolled:
            return ""
