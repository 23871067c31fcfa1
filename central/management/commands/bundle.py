"""`central bundle`: write a stick for schools, and take in what comes back."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils import timezone

from central.command_line import CentreCommand
from central.courier.cargo import nodes_of
from central.courier.returns_file import returns_open
from central.courier.services import stick_export, stick_import
from central.disk import centre_disk
from central.trust_root import director_key
from federation.trust.stick_disk import StickDisk

ACTOR = "command line"


class Command(CentreCommand):
    """Write a USB stick for schools, or read one that came back."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take which way, and where the stick is."""
        ways = parser.add_subparsers(dest="way", required=True)
        export = ways.add_parser("export", help="write a stick for schools")
        export.add_argument("--region", action="append", default=[], help="for the schools of this region; repeatable")
        export.add_argument("--school", action="append", default=[], help="for this school; repeatable")
        export.add_argument("place", metavar="DIR", type=Path, help="where the stick is mounted")
        taken = ways.add_parser("import", help="take in what schools have written")
        taken.add_argument("place", metavar="DIR", type=Path, help="where the stick is mounted, or a ZIP file of it")
        for way in (export, taken):
            way.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
            way.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Write it, or read it, and say what came of it."""
        disk, now = centre_disk(), timezone.now()
        if options["way"] == "export":
            trip = stick_export(
                stick=StickDisk(options["place"]),
                nodes=nodes_of(regions=options["region"], schools=options["school"]),
                disk=disk,
                key=director_key(),
                actor=ACTOR,
                now=now,
                progress=self._heard(),
            )
            text = f"{trip.files} letters for {trip.schools} schools, {trip.bytes_written} bytes of releases written"
        else:
            with returns_open(options["place"]) as source:
                trip = stick_import(source=source, place=str(options["place"]), disk=disk, actor=ACTOR, now=now)
            text = f"{trip.files} files of {trip.schools} schools taken in, {len(trip.problems)} not"
        document = {
            "schools": trip.schools,
            "files": trip.files,
            "bytes_written": trip.bytes_written,
            "problems": trip.problems,
            "code": trip.code,
        }
        self.answer(document, as_json=options["json"], text=text)

    def _heard(self) -> Callable[[int, int], None]:
        """Return what prints each tenth of the comparing, and then of the writing, to standard error."""
        shown = -1

        def heard(done: int, total: int) -> None:
            nonlocal shown
            tenth = 10 * done // max(total, 1)
            if tenth != shown:
                shown = tenth
                self.stderr.write(f"{10 * tenth}%")

        return heard
