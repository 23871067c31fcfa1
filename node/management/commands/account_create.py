"""`node account_create`: a person's account on this school's page, with a one-time password."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from node.accounts import Role, account_create
from node.doors import NodeCommand


class Command(NodeCommand):
    """Creates one account."""

    help = "create an account and print its one-time password"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the name and the role."""
        parser.add_argument("--username", required=True)
        parser.add_argument("--role", required=True, choices=[role.value for role in Role])
        parser.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Create the account; a node that never ran gets its tables first."""
        self.tables_make()
        account = account_create(username=options["username"], role=Role(options["role"]))
        words = _("Account %(username)s, password %(password)s (shown once).") % {
            "username": account.username,
            "password": account.password,
        }
        answer = {"username": account.username, "role": account.role.value, "password": account.password}
        self.say(words, answer, as_json=options["json"])
