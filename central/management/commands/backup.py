"""`central backup`: copy what PostgreSQL's own tools do not, and bring disk and tables together after a restore."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from central.backup.reconciling import restore_reconcile
from central.backup.services import files_backup, keys_backup
from central.command_line import CentreCommand
from central.disk import centre_disk


class Command(CentreCommand):
    """Make a copy of files or keys, or do what a restore leaves to do."""

    help = __doc__ or ""

    def add_options(self, parser: ArgumentParser) -> None:
        """Take what to do, and where."""
        ways = parser.add_subparsers(dest="way", required=True)
        files = ways.add_parser("files", help="the centre's files, and of an embedded centre the database too")
        keys = ways.add_parser("keys", help="the keys that lie on the server, to a place of their own")
        for way in (files, keys):
            way.add_argument("place", metavar="DIR", type=Path, help="an empty folder, or the one of the last time")
        reconcile = ways.add_parser("reconcile", help="once after a restore, before schools are let in")
        for way in (files, keys, reconcile):
            way.add_argument("--root", help="the centre's folder (default: SORO_CENTRAL_ROOT or var/central)")
            way.add_argument("--json", action="store_true")

    def run(self, options: dict[str, Any]) -> None:
        """Do it."""
        disk, now = centre_disk(), timezone.now()
        if options["way"] == "reconcile":
            self._reconcile(as_json=options["json"])
            return
        backup = files_backup if options["way"] == "files" else keys_backup
        made = backup(disk=disk, place=options["place"].absolute(), now=now)
        copied = made.copied
        text = f"{copied.files} files ({copied.size_bytes} bytes) copied, {copied.removed} removed."
        self.answer(made, as_json=options["json"], text=text)

    def _reconcile(self, *, as_json: bool) -> None:
        found = restore_reconcile(disk=centre_disk(), now=timezone.now())
        updates = found.updates
        text = (
            f"Updates: {updates.taken_in} taken in from the disk, {updates.asked_again} asked for again, "
            f"{updates.missing} of rounds that are over have no file."
        )
        self.answer(found, as_json=as_json, text=text)
        if found.releases_without_files:
            names = ", ".join(digest[:12] for digest in found.releases_without_files)
            raise CommandError(f"Release files are missing of {names}: bring them back, or revoke these releases.")
