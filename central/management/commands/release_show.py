"""`central release_show`: a release's state and what the gate measured."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import CentreCommand
from central.releases.describe import release_describe
from central.releases.services import release_find


class Command(CentreCommand):
    """Print a release."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the release."""
        parser.add_argument("--release", required=True, help="its version or digest")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Print it."""
        release = release_find(options["release"])
        text = f"Release {release.version} ({release.kind}) is {release.status}. {release.why}"
        self.answer(release_describe(release), as_json=options["json"], text=text)
