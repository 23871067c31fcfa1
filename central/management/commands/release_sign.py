"""`central release_sign`: publish a release that the gate has passed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.disk import centre_disk
from central.releases.describe import release_describe
from central.releases.services import release_find, release_sign


class Command(CentreCommand):
    """Sign the release's index with the targets key, so that schools may be offered it."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the release."""
        parser.add_argument("--release", required=True, help="its version or digest")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Sign and publish."""
        release = release_find(options["release"])
        release_sign(release=release, disk=centre_disk(), actor="command line", now=timezone.now())
        text = f"Release {release.version} is {release.status}: {release.digest}"
        self.answer(release_describe(release), as_json=options["json"], text=text)
