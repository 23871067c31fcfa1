"""`node key_rotate`: give this node a new key, which the centre knows it by from then on."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.sync.loop import key_change


class Command(NodeCommand):
    """Rotates; where there is no link now, the next contact finishes it."""

    help = "give this node a new key"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the form for programs."""
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Rotate and name the new key."""
        key_id = key_change(root=self.root)
        words = _("The centre knows this PC by a new key now (%(key)s).") % {"key": key_id[:12]}
        self.say(words, {"key_id": key_id}, as_json=options["json"])
