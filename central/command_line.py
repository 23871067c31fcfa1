"""What the centre's commands have in common: `--root`, one sentence for an error, JSON for programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import translation

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
