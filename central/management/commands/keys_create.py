"""`central keys_create`: the TUF keys and repository, and the director's key."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.trust_root import keys_create


class Command(CentreCommand):
    """Create the keys that releases and assignments are signed with; safe to repeat."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take `--json`."""
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Create what is missing."""
        fingerprint = keys_create(now=timezone.now())
        text = f"The root of trust is {fingerprint}. Take keys/offline off this machine once nothing is left to sign."
        self.answer({"root_sha256": fingerprint}, as_json=options["json"], text=text)
