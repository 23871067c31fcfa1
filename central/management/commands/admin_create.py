"""`central admin_create`: an account for one of the ministry's people, with a one-time password."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.schools.accounts import account_create
from central.schools.roles import Role


class Command(CentreCommand):
    """Make an account of the admin and print its password, which is shown this once."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the name, the role and, for a regional one, the region."""
        parser.add_argument("--username", required=True)
        parser.add_argument("--role", choices=Role.values, default=Role.NATIONAL_ADMIN.value)
        parser.add_argument("--region", default="", help="the region that a regional admin is bound to")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Make the account."""
        account = account_create(
            username=options["username"],
            role=Role(options["role"]),
            region=options["region"],
            actor="command line",
            now=timezone.now(),
        )
        text = f"User {account.username}, password {account.password}"
        self.answer(account, as_json=options["json"], text=text)
