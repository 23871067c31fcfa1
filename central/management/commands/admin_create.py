"""`central admin_create`: an account for a ministry admin with a one-time password."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from central.command_line import CentreCommand
from central.schools.accounts import admin_create


class Command(CentreCommand):
    """Make an admin account and print its password, which is shown this once."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the name."""
        parser.add_argument("--username", required=True)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Make the account."""
        account = admin_create(username=options["username"])
        text = f"User {account.username}, password {account.password}"
        self.answer(account, as_json=options["json"], text=text)
