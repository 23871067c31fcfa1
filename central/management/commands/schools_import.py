"""`central schools_import`: a whole list of schools at once."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from central.command_line import CentreCommand
from central.schools.school_list import school_list_read, school_list_take_in


class Command(CentreCommand):
    """Take a list of schools in from a CSV file with the columns name, region and district."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Import and count."""
        try:
            content = options["file"].read_bytes()
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}") from error
        taken = school_list_take_in(schools=school_list_read(content), actor="command line", now=timezone.now())
        text = f"{taken.added} schools are new, {taken.changed} changed, {taken.unchanged} as before."
        self.answer(taken, as_json=options["json"], text=text)
