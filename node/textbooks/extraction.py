"""The process that reads one file: `python -m node.textbooks.extraction PATH`, with no database and no Django.

It takes its own memory, time and files away first, so that whatever a hostile file does ends this process and nothing
else. It says one JSON line for each step: `{"pages": n}` how many there will be (0: unknown), `{"read": n}` how far it
is, `{"page": n, "blocks": [[text, is_heading], …]}`, and last `{"end": true}` or `{"refused": code}`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from federation.errors import FederationError
from node.textbooks.docx_file import docx_pages
from node.textbooks.errors import TextbookTooHeavy, TextbookTooLong
from node.textbooks.kinds import HEAD_BYTES, Kind, kind_of
from node.textbooks.pages import Page
from node.textbooks.pdf_file import PdfFile, pages_of
from node.textbooks.text_file import text_pages

MOST_MEMORY_BYTES = 768 * 1024 * 1024
"""Of address space, a third of which Python and its libraries have before the file is opened."""
MOST_CPU_SECONDS = 900
MOST_PAGES = 2000
MOST_CHARACTERS = 6_000_000
"""The longest textbooks have about a million."""
_NICENESS = 10


def limits_set() -> None:
    """Let this process have so much and no more, and no children or files of its own; chats go before it."""
    os.nice(_NICENESS)
    for kind, most in (
        (resource.RLIMIT_AS, MOST_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MOST_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what is said of the file at `path`, but for the end.

    Raises:
        FederationError: one of `READING_ERRORS`.
    """
    with path.open("rb") as stream:
        kind = kind_of(stream.read(HEAD_BYTES))
    characters = 0
    for step in _pdf_steps(path) if kind is Kind.PDF else _page_steps(path, kind):
        if "page" in step:
            characters += sum(len(text) for text, _is_heading in step["blocks"])
            if characters > MOST_CHARACTERS:
                raise TextbookTooLong
        yield step


def _pdf_steps(path: Path) -> Iterator[dict[str, Any]]:
    pdf = PdfFile(path)
    if pdf.page_count > MOST_PAGES:
        raise TextbookTooLong
    yield {"pages": pdf.page_count}
    lines: list[list[str]] = []
    characters = 0
    for page in pdf.lines():
        lines.append(page)
        characters += sum(map(len, page))
        if characters > MOST_CHARACTERS:
            raise TextbookTooLong
        yield {"read": len(lines)}
    for whole in pages_of(lines):
        yield _said(whole)


def _page_steps(path: Path, kind: Kind) -> Iterator[dict[str, Any]]:
    pages = docx_pages(path) if kind is Kind.DOCX else text_pages(path)
    yield {"pages": 0}
    for count, page in enumerate(pages, start=1):
        if count > MOST_PAGES:
            raise TextbookTooLong
        yield {"read": count}
        yield _said(page)


def _said(page: Page) -> dict[str, Any]:
    return {"page": page.number, "blocks": [[block.text, block.is_heading] for block in page.blocks]}


def main(path: Path) -> None:
    """Read the file at `path` and say so on standard output."""
    limits_set()
    try:
        for step in steps(path):
            sys.stdout.write(json.dumps(step) + "\n")
            sys.stdout.flush()
        last: dict[str, Any] = {"end": True}
    except FederationError as error:
        last = {"refused": error.code}
    except (MemoryError, RecursionError):
        last = {"refused": TextbookTooHeavy.code}
    sys.stdout.write(json.dumps(last) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
