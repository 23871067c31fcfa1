"""What the centre's commands have in common: `--root`, one sentence for an error, JSON for programs."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

from central.schools.transitions import HasStatus
from central.words import sentence
from federation.errors import FederationError
from federation.wire.canonical import to_plain


class CentreCommand(BaseCommand):
    """A command whose `run` may raise a FederationError, which ends it with one sentence and status 1."""

    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--root`, which the settings have read already, and what `add_options` adds."""
        parser.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
        self.add_options(parser)

    def add_options(self, parser: ArgumentParser) -> None:
        """Add the command's own options."""

    def handle(self, *_arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Run, and turn a refusal into one sentence."""
        try:
            self.run(options)
        except FederationError as error:
            # A terminal is the operator's, whose manuals are in English; the admin speaks the reader's language.
            with translation.override("en"):
                raise CommandError(sentence(error.code, error.fields)) from error

    def run(self, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def answer(self, document: object, *, as_json: bool, text: str) -> None:
        """Print `document` as one line of JSON, or `text` for people."""
        self.stdout.write(json.dumps(to_plain(document), ensure_ascii=False) if as_json else text)


class ShowCommand(CentreCommand):
    """Prints how a row gets on; with `--follow` every change of it, until its status is final."""

    LOOK_SECONDS = 1.0

    def add_options(self, parser: ArgumentParser) -> None:
        """Take which row, and how to print it."""
        self.add_row(parser)
        parser.add_argument("--follow", action="store_true", help="print each change as it comes, until all is over")
        parser.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Print it; changes go to standard error, what became of it to standard output."""
        row, shown = self.row(options), ""
        while options["follow"] and not row.is_final:
            if (line := self.line(self.describe(row))) != shown:
                self.stderr.write(shown := line)
            time.sleep(self.LOOK_SECONDS)
            row = self.row(options)
        description = self.describe(row)
        self.answer(description, as_json=options["json"], text=self.line(description))

    def add_row(self, parser: ArgumentParser) -> None:
        """Add the option that names the row."""
        raise NotImplementedError

    def row(self, options: dict[str, Any]) -> HasStatus:
        """Return the row as it is now."""
        raise NotImplementedError

    def describe(self, row: Any) -> dict[str, Any]:  # noqa: ANN401 - each command has rows of its own model
        """Return what a program may want to know of the row."""
        raise NotImplementedError

    def line(self, description: dict[str, Any]) -> str:
        """Return the description in one line for people."""
        raise NotImplementedError
