"""`node backup`: seal what the school would miss into one file, and put such a file back."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from node.backup.making import backup_make
from node.backup.places import backups_find, local_folder
from node.backup.restoring import backup_restore, restore_keep, restore_undo
from node.doors import NodeCommand
from node.media import media_here
from node.outbox.services import epoch_renew


class Command(NodeCommand):
    """Makes, lists, restores, undoes and keeps."""

    help = "make an encrypted backup of the school's data, or put one back"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the ways."""
        ways = parser.add_subparsers(dest="way", required=True)
        made = ways.add_parser("make", help="make a backup; the passphrase is asked for, or read from standard input")
        made.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="default: `backups` under the root")
        restored = ways.add_parser("restore", help="put a backup back; asks for the passphrase as `make` does")
        restored.add_argument("file", metavar="FILE", type=Path)
        listed = ways.add_parser("list", help="tell which backups lie on this PC and on sticks")
        undone = ways.add_parser("undo", help="give this PC the data that it had before the last restore")
        kept = ways.add_parser("keep", help="say that the last restore works, and drop the data from before it")
        settled = ways.add_parser("settle", help="bring restored tables up to this program (started by `restore`)")
        for way in (made, restored, listed, undone, kept, settled):
            way.add_argument("--root", type=Path, help="the node's directory (default: SORO_NODE_ROOT, else var/node)")
            way.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Do it, and say what came of it."""
        self.root.mkdir(parents=True, exist_ok=True)
        getattr(self, f"_{options['way']}")(options)

    def _make(self, options: dict[str, Any]) -> None:
        self.tables_make()
        folder = options["folder"] or local_folder(self.root)
        path = backup_make(root=self.root, folder=folder, passphrase=_passphrase(is_new=True), clock=timezone.now)
        self.say(_("The backup is at %(path)s.") % {"path": path}, {"file": str(path)}, as_json=options["json"])

    def _restore(self, options: dict[str, Any]) -> None:
        heading = backup_restore(
            root=self.root, source=options["file"], passphrase=_passphrase(is_new=False), clock=timezone.now
        )
        words = _(
            "The data of %(date)s is back. Look whether all is well, then: node backup keep, or node backup undo."
        )
        made_at = timezone.localtime(heading.made_at)
        self.say(words % {"date": f"{made_at:%d.%m.%Y %H:%M}"}, {"made_at": heading.made_at}, as_json=options["json"])

    def _list(self, options: dict[str, Any]) -> None:
        media = media_here()
        found = backups_find(root=self.root, media=media)
        lines = [f"{timezone.localtime(file.made_at):%Y-%m-%d %H:%M}  {file.size_bytes}  {file.path}" for file in found]
        self.say("\n".join(lines), [str(file.path) for file in found], as_json=options["json"])

    def _undo(self, options: dict[str, Any]) -> None:
        restore_undo(root=self.root, clock=timezone.now)
        self.say(_("The data from before the restore is back."), {}, as_json=options["json"])

    def _keep(self, options: dict[str, Any]) -> None:
        restore_keep(root=self.root)
        self.say(_("The data from before the restore is removed."), {}, as_json=options["json"])

    def _settle(self, options: dict[str, Any]) -> None:
        self.tables_make()
        self.say("", {"epoch": epoch_renew()}, as_json=options["json"])


def _passphrase(*, is_new: bool) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    typed = getpass.getpass(_("Passphrase: "))
    if is_new and getpass.getpass(_("Once more: ")) != typed:
        return ""
    return typed
