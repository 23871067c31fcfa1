"""`manage.py node check`: Django's system checks, and those that read the disk."""

from __future__ import annotations

from django.core.checks import ERROR
from django.core.management.base import CommandParser
from django.core.management.commands import check

from node.installed.checks import NODE_TAG


class Command(check.Command):
    """Django's own command, with the node's disk, keys and release looked at too."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Take `--root`, which the settings have already read."""
        super().add_arguments(parser)
        parser.add_argument("--root", help="the node's directory")

    def handle(self, *app_labels: list[str], **options: object) -> None:
        """Run both kinds; a SystemCheckError ends with a non-zero status."""
        super().handle(*app_labels, **options)
        self.check(tags=[NODE_TAG], display_num_errors=True, include_deployment_checks=True, fail_level=ERROR)
