"""Have a file read by a process of its own, and turn what that says into passages; knows no database.

The process has taken its own memory and time away (`extraction`); here it gets a wall clock too, and is ended when
nobody wants the book any more. Whatever ends it, this process goes on with one of the errors that have sentences.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from node.children import program_environment
from node.textbooks.cutting import Cut, passages_cut
from node.textbooks.errors import (
    READING_ERRORS,
    TextbookDamaged,
    TextbookLettersBroken,
    TextbookTooHeavy,
    TextbookWithoutText,
)
from node.textbooks.letters import has_text, is_legible, letters_mend
from node.textbooks.pages import Block, Page

MOST_SECONDS = 1800.0
# A page of a million letters fits; a line without an end does not fill the memory.
_MOST_LINE_BYTES = 16 * 1024 * 1024
_LOOK_SECONDS = 0.5
_CHUNK_BYTES = 64 * 1024

Heard = Callable[[int, int], bool]
"""Told how many pages are read and how many there are (0: unknown); returns whether to go on."""


class ReadingUnwanted(Exception):
    """Somebody stopped the reading, or took the book away; nobody has to be told."""


def file_read(path: Path, *, heard: Heard) -> list[Cut]:
    """Return the passages of the file at `path`.

    Raises:
        FederationError: it cannot be read; one of `READING_ERRORS`, or its text is none.
        ReadingUnwanted: `heard` said so.
    """
    argv = [sys.executable, "-m", "node.textbooks.extraction", str(path)]
    child = subprocess.Popen(
        argv, env=program_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        pages = _pages(child, heard)
    except (ValueError, KeyError, TypeError) as error:
        raise TextbookDamaged from error
    finally:
        child.kill()
        child.wait()
    cuts = passages_cut(_mended(pages))
    if not cuts:
        raise TextbookWithoutText
    return cuts


@dataclass(slots=True)
class _Progress:
    heard: Heard
    read: int = 0
    total: int = 0

    def tell(self) -> None:
        """Say how far it is.

        Raises:
            ReadingUnwanted: nobody wants to know.
        """
        if not self.heard(self.read, self.total):
            raise ReadingUnwanted


def _pages(child: subprocess.Popen[bytes], heard: Heard) -> list[Page]:
    pages: list[Page] = []
    progress = _Progress(heard)
    for line in _lines(child, progress):
        if line.get("end") is True:
            return pages
        if "refused" in line:
            raise READING_ERRORS.get(str(line["refused"]), TextbookDamaged)
        progress.read, progress.total = int(line.get("read", progress.read)), int(line.get("pages", progress.total))
        if "page" in line:
            blocks = tuple(Block(" ".join(text.split()), is_heading is True) for text, is_heading in line["blocks"])
            pages.append(Page(number=int(line["page"]), blocks=blocks))
    # It ended without a word: its time or memory was over, or the file broke its program.
    raise TextbookTooHeavy


def _lines(child: subprocess.Popen[bytes], progress: _Progress) -> Iterator[dict[str, Any]]:
    stream: IO[bytes] = child.stdout  # type: ignore[assignment]  # it was opened as a pipe
    ends_at, tells_at, held = time.monotonic() + MOST_SECONDS, 0.0, b""
    with stream, selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= tells_at:
                tells_at = now + _LOOK_SECONDS
                progress.tell()
            if now >= ends_at or len(held) > _MOST_LINE_BYTES:
                raise TextbookTooHeavy
            if not selector.select(timeout=_LOOK_SECONDS):
                continue
            chunk = os.read(stream.fileno(), _CHUNK_BYTES)
            if not chunk:
                return
            *lines, held = (held + chunk).split(b"\n")
            yield from map(json.loads, lines)


def _mended(pages: list[Page]) -> list[Page]:
    """Return the pages with mended letters.

    Raises:
        TextbookWithoutText, TextbookLettersBroken: nobody could read them.
    """
    joined = "\n".join(block.text for page in pages for block in page.blocks)
    if not has_text(joined, pages=len(pages)):
        raise TextbookWithoutText
    # Of the whole book at once: a page may have none of the letters by which an old font is known.
    mended = letters_mend(joined)
    if not is_legible(mended):
        raise TextbookLettersBroken
    texts = iter(mended.split("\n"))
    return [
        Page(number=page.number, blocks=tuple(Block(next(texts), block.is_heading) for block in page.blocks))
        for page in pages
    ]
