"""`central second_factor_forget`: for somebody whose telephone and recovery codes are lost."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError
from django.utils import timezone

from central.command_line import CentreCommand
from central.signin.services import factor_forget


class Command(CentreCommand):
    """Take a user's second factor and recovery codes away; be sure first who is asking."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the name."""
        parser.add_argument("--username", required=True)

    def run(self, options: dict[str, Any]) -> None:
        """Forget it."""
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no user called {options['username']}.")
        factor_forget(user=user, actor="command line", now=timezone.now())
        self.stdout.write(f"{user.username} signs in by password alone, or enrols again where that is required.")
