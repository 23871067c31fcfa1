"""`central migrate`: Django's own, with `--root`."""

from __future__ import annotations

from django.core.management.base import CommandParser
from django.core.management.commands.migrate import Command as MigrateCommand


class Command(MigrateCommand):
    """Bring the database up to this program."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take `--root`, which the settings have read already."""
        super().add_arguments(parser)
        parser.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
