"""The text of a plain file, in UTF-8 or in the code page of old Windows; a form feed begins a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from node.textbooks.pages import Page, blocks_of


def text_pages(path: Path) -> Iterator[Page]:
    """Yield the pages of the file at `path`; one without a number where it has no form feeds."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1251", errors="replace")
    pages = text.replace("\r\n", "\n").split("\f")
    for number, page in enumerate(pages, start=1):
        yield Page(number=number if len(pages) > 1 else 0, blocks=blocks_of(page.split("\n")))
