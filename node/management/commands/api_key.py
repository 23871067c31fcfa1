"""`node api_key create|list|revoke`: the keys by which programs of the school use the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.chat.api_keys import api_key_create, api_key_revoke
from node.chat.models import ApiKey
from node.doors import NodeCommand


class Command(NodeCommand):
    """Makes, lists and revokes API keys."""

    help = "make, list or revoke the keys of the OpenAI-compatible API"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create, listing, revoke = (verbs.add_parser(verb) for verb in ("create", "list", "revoke"))
        create.add_argument("--username", required=True, help="whose account it is")
        create.add_argument("--name", required=True, help="what it is for")
        revoke.add_argument("--key", type=int, required=True, help="its number in the list")
        for verb in (create, listing, revoke):
            # The settings read it; here it is only let through behind the verb too.
            verb.add_argument("--root", type=Path, help=argparse.SUPPRESS)
            verb.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Do what the verb says; a node that never ran gets its tables first."""
        self.tables_make()
        {"create": self._create, "list": self._list, "revoke": self._revoke}[options["verb"]](options)

    def _create(self, options: dict[str, Any]) -> None:
        key = api_key_create(username=options["username"], name=options["name"], now=timezone.now())
        words = _("API key %(number)d: %(key)s (shown once).") % {"number": key.number, "key": key.text}
        self.say(words, {"number": key.number, "name": key.name, "key": key.text}, as_json=options["json"])

    def _list(self, options: dict[str, Any]) -> None:
        keys = [
            {
                "number": key.pk,
                "username": key.person.get_username(),
                "name": key.name,
                "created_at": key.created_at,
                "last_used_on": key.last_used_on.isoformat() if key.last_used_on else "",
            }
            for key in ApiKey.objects.in_force().select_related("person").order_by("pk")
        ]
        words = "\n".join(f"{key['number']}  {key['username']}  {key['name']}  {key['last_used_on']}" for key in keys)
        self.say(words, {"keys": keys}, as_json=options["json"])

    def _revoke(self, options: dict[str, Any]) -> None:
        api_key_revoke(number=options["key"], owner_id=None, now=timezone.now())
        words = _("API key %(number)d is revoked.") % {"number": options["key"]}
        self.say(words, {"number": options["key"]}, as_json=options["json"])
