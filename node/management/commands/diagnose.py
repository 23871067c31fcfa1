"""`node diagnose`: a bundle for whoever helps from afar, without a word of any person."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.diagnosis.bundle import bundle_make, bundle_name, bundle_write
from node.doors import NodeCommand


class Command(NodeCommand):
    """Writes it."""

    help = "write what this PC is, runs and failed at, without a word of any person, for whoever helps"

    def arguments(self, parser: CommandParser) -> None:
        """Declare where it goes."""
        parser.add_argument("file", metavar="FILE", type=Path, help="a ZIP file, or a folder such as a stick's")
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Read what there is, also where much is broken: tables are not brought up to this program first."""
        now, file = timezone.now(), options["file"]
        target = file / bundle_name(root=self.root, now=now) if file.is_dir() else file
        bundle_write(content=bundle_make(root=self.root, now=now, environ=os.environ), target=target)
        told = _("The bundle is at %(path)s. It can be read before it is handed on.") % {"path": target}
        self.say(told, {"file": str(target)}, as_json=options["json"])
