"""`node enrol`: make this PC the node of the school whose claim code is given."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.sync.client import CentreClient
from node.sync.enrol import node_enrol
from node.sync.transport import http_client


class Command(NodeCommand):
    """Enrols once."""

    help = "make this PC the node of a school"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where the centre is and what the ministry printed."""
        parser.add_argument("--central", required=True, help="the centre's address, such as https://soro.example")
        parser.add_argument("--code", required=True, help="the claim code")
        parser.add_argument("--root-sha256", required=True, help="the fingerprint printed with the code")
        parser.add_argument("--fleet", help="host:port of the SuperLink, where the school has a forwarder to it")
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Enrol and name the school."""
        self.root.mkdir(parents=True, exist_ok=True)
        http, _counter = http_client()
        with http:
            client = CentreClient(http=http, base_url=options["central"])
            enrolment = node_enrol(
                root=self.root, client=client, code=options["code"], root_sha256=options["root_sha256"]
            )
        words = _("This PC is now the node of the school “%(school)s”.") % {"school": enrolment.school}
        answer = {"node_id": enrolment.node_id, "school": enrolment.school}
        self.say(words, answer, as_json=options["json"])
