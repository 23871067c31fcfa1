"""`node textbook add|list|replace|delete|read`: the school's textbooks, without the page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Count
from django.utils import timezone
from django.utils.translation import gettext as _

from node.doors import NodeCommand
from node.textbooks.errors import TextbookRefused
from node.textbooks.launch import readings_run
from node.textbooks.models import Textbook
from node.textbooks.services import About, Upload, textbook_add, textbook_change, textbook_delete, textbook_of

_CHUNK_BYTES = 1024 * 1024


class Command(NodeCommand):
    """Adds, lists, replaces, deletes and reads textbooks."""

    help = "add, list, replace or delete the school's textbooks"

    def arguments(self, parser: CommandParser) -> None:
        """Declare the verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        add = verbs.add_parser("add", help="add a PDF, DOCX or text file and read it")
        replace = verbs.add_parser("replace", help="give a book another file and read it")
        delete = verbs.add_parser("delete", help="take a book away")
        others = [verbs.add_parser("list", help="list the books"), verbs.add_parser("read", help="read what waits")]
        for verb in (replace, delete):
            verb.add_argument("--book", type=int, required=True, help="its number in the list")
        for verb in (add, replace):
            verb.add_argument("file", metavar="FILE", type=Path)
        add.add_argument("--title", required=True)
        add.add_argument("--subject", default="", help="such as biology; see docs/operations.md")
        add.add_argument("--grade", type=int, default=0, help="1 to 11; 0: none")
        for verb in (add, replace, delete, *others):
            # The settings read it; here it is only let through behind the verb too.
            verb.add_argument("--root", type=Path, help=argparse.SUPPRESS)
            verb.add_argument("--json", action="store_true")

    def act(self, options: dict[str, Any]) -> None:
        """Do what the verb says; a node that never ran gets its tables first."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.tables_make()
        verb = options["verb"]
        if verb == "delete":
            textbook_delete(textbook=textbook_of(options["book"]), root=self.root)
        elif verb == "add":
            about = About(title=options["title"], subject=options["subject"], grade=options["grade"])
            textbook_add(about=about, upload=_upload(options["file"]), root=self.root, now=timezone.now())
        elif verb == "replace":
            book = textbook_of(options["book"])
            about = About(title=book.title, subject=book.subject, grade=book.grade)
            textbook_change(textbook=book, about=about, upload=_upload(options["file"]), root=self.root)
        if verb in {"add", "replace", "read"}:
            readings_run(root=self.root, clock=timezone.now)
        self._list(as_json=options["json"])

    def _list(self, *, as_json: bool) -> None:
        books = [
            {
                "number": book.pk,
                "title": book.title,
                "subject": book.subject,
                "grade": book.grade,
                "status": book.status,
                "pages": book.pages_total,
                "passages": book.passage_count,
                "error_code": book.error_code,
            }
            for book in Textbook.objects.annotate(passage_count=Count("passages")).order_by("pk")
        ]
        words = "\n".join(
            f"{book['number']}  {book['title']}  {book['status']}  {book['passages']}  {book['error_code']}"
            for book in books
        )
        self.say(words or _("There are no textbooks yet"), {"textbooks": books}, as_json=as_json)


def _upload(path: Path) -> Upload:
    if not path.is_file():
        raise TextbookRefused(reason="file")
    return Upload(content=_pieces(path), size_bytes=path.stat().st_size)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            yield piece
