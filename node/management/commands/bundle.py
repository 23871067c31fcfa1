"""`node bundle`: take in what a USB stick brings, and write on it what the school has to say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from node.doors import NodeCommand
from node.stick.bringing import Bench
from node.stick.models import StickTrip
from node.stick.sentences import brought_in_sentences, written_out_sentences
from node.stick.services import stick_bring_in, stick_write_out, trip_begin
from node.sync.claim import Claim


class Command(NodeCommand):
    """Brings in or writes out."""

    help = "take in what a USB stick brings, or write what the school has to say"

    def arguments(self, parser: CommandParser) -> None:
        """Declare which way, and where the stick is."""
        ways = parser.add_subparsers(dest="way", required=True)
        taken = ways.add_parser("import", help="take in what a stick brings")
        export = ways.add_parser("export", help="write what the school has to say")
        export.add_argument("--code", help="the claim code, for a PC that has no school yet")
        export.add_argument("--root-sha256", help="the fingerprint printed with the code")
        export.add_argument("--central", default="", help="the centre's address, if there may be a link later")
        export.add_argument("--authority-sha256", default="", help="the web server's fingerprint, if one is printed")
        for way in (taken, export):
            way.add_argument("place", metavar="DIR", type=Path, help="where the stick is mounted")
            way.add_argument("--root", type=Path, help="the node's directory (default: SORO_NODE_ROOT, else var/node)")
            way.add_argument("--trip", type=int, help="the number of a trip that the page has begun")
            way.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Do it, and say what came of it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.tables_make()
        if options["way"] == "import":
            trip = self._trip(StickTrip.Way.BRING_IN, options)
            brought = stick_bring_in(trip=trip, bench=Bench(root=self.root, clock=timezone.now))
            self.say("\n".join(brought_in_sentences(brought)), brought, as_json=options["json"])
            if brought.failures:
                sys.exit(1)
        else:
            trip = self._trip(StickTrip.Way.WRITE_OUT, options)
            written = stick_write_out(trip=trip, root=self.root, clock=timezone.now, claim=_claim(options))
            self.say("\n".join(written_out_sentences(written)), written, as_json=options["json"])

    def _trip(self, way: StickTrip.Way, options: dict[str, Any]) -> StickTrip:
        if options["trip"] is not None:
            return StickTrip.objects.get(pk=options["trip"], way=way)
        return trip_begin(way=way, place=options["place"], now=timezone.now())


def _claim(options: dict[str, Any]) -> Claim | None:
    if not options["code"]:
        return None
    return Claim(
        code=options["code"],
        root_sha256=options["root_sha256"] or "",
        central_url=options["central"],
        authority_sha256=options["authority_sha256"],
    )
