"""`central school_invite`: a claim code for one PC at a school."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.schools.authority import authority_fingerprint
from central.schools.invitations import school_invite
from central.trust_root import root_fingerprint


class Command(CentreCommand):
    """Print a claim code and the fingerprint of the root of trust; the code is shown this once."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the school."""
        parser.add_argument("--name", required=True)
        parser.add_argument("--region", default="")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Invite one PC."""
        fingerprint = root_fingerprint()
        invitation = school_invite(
            name=options["name"], region=options["region"], actor="command line", now=timezone.now()
        )
        document = {
            "school_id": invitation.school.pk,
            "code": invitation.code,
            "root_sha256": fingerprint,
            "authority_sha256": authority_fingerprint(),
        }
        text = f"{invitation.school.name}: code {invitation.code}, root {fingerprint}"
        self.answer(document, as_json=options["json"], text=text)
