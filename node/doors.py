"""What the node's commands share: `--root`, and one clear sentence with a non-zero status when something fails."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

from federation.errors import FederationError
from federation.wire.canonical import to_plain
from node.language import operator_language
from node.sentences import error_sentence


class NodeCommand(BaseCommand):
    """A thin door: `arguments` declares, `act` calls one service and prints."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare `--root` and what the command adds."""
        parser.add_argument("--root", type=Path, help="the node's directory (default: SORO_NODE_ROOT, else var/node)")
        self.arguments(parser)

    def arguments(self, parser: CommandParser) -> None:
        """Declare the command's own arguments."""

    def handle(self, *_args: object, **options: Any) -> None:  # noqa: ANN401 - Django's signature
        """Act, or end with a sentence on standard error and status 1."""
        translation.activate(operator_language(os.environ))
        try:
            self.act(options)
        except FederationError as error:
            self.stderr.write(error_sentence(error))
            sys.exit(1)

    @property
    def root(self) -> Path:
        """The node's directory, which the settings read from `--root` or the environment."""
        return Path(settings.NODE_ROOT)

    def act(self, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def tables_make(self) -> None:
        """Bring the database up to this program's tables; a node may have been updated, or never have run."""
        call_command("migrate", interactive=False, verbosity=0)

    def say(self, words: str, document: object, *, as_json: bool) -> None:
        """Print `document` as one line of JSON, or `words` for a person."""
        self.stdout.write(json.dumps(to_plain(document), ensure_ascii=False) if as_json else words)
