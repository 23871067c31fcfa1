"""The text of a DOCX: its one XML part, read as a stream, so that a bomb is noticed before it fills the memory.

Source: ECMA-376 part 1, WordprocessingML: paragraphs, styles with outline levels, page breaks as Word last laid them.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from xml.etree import ElementTree as ET  # nosec B405 # see _Counted

from node.textbooks.cutting import MOST_HEADING_CHARACTERS
from node.textbooks.errors import TextbookDamaged, TextbookKindUnknown, TextbookTooHeavy
from node.textbooks.pages import Block, Page

# A book of a thousand pages has 10 MB of this XML.
MOST_UNPACKED_BYTES = 64 * 1024 * 1024
_DOCUMENT, _STYLES = "word/document.xml", "word/styles.xml"
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_BODY_LEVEL = 9
"""The outline level that ordinary text has; those below are headings'."""


class _Counted(io.RawIOBase):
    """A stream that refuses to give more than a limit, whatever the archive's own list claims.

    Entities that unfold without end are expat's to refuse; whatever gets past both meets the limits of the process
    (`extraction`).
    """

    def __init__(self, inner: IO[bytes]) -> None:
        self._inner, self._left = inner, MOST_UNPACKED_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise TextbookTooHeavy
        return data


def docx_pages(path: Path) -> Iterator[Page]:
    """Yield the pages of the file at `path`; where Word left no page breaks, one without a number.

    Raises:
        TextbookKindUnknown: it is an archive of something else.
        TextbookDamaged: it cannot be read.
        TextbookTooHeavy: it swells past what a book has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _DOCUMENT not in archive.namelist():
                raise TextbookKindUnknown
            headings = _heading_styles(archive) if _STYLES in archive.namelist() else frozenset[str]()
            with archive.open(_DOCUMENT) as part:
                yield from _pages(_Counted(part), headings)
    except (
        zipfile.BadZipFile,
        ET.ParseError,
        NotImplementedError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
    ) as error:
        raise TextbookDamaged from error


def _heading_styles(archive: zipfile.ZipFile) -> frozenset[str]:
    """Return the ids of the styles that are headings; a Russian Word calls them «1», «2», and so on."""
    found = set()
    with archive.open(_STYLES) as part:
        for _event, style in ET.iterparse(_Counted(part)):  # nosec B314 # noqa: S314 - see _Counted
            if style.tag == f"{_W}style":
                name = _value(style.find(f"{_W}name")).lower()
                level = _value(style.find(f"{_W}pPr/{_W}outlineLvl"))
                if name.startswith(("heading", "title")) or (level.isdecimal() and int(level) < _BODY_LEVEL):
                    found.add(style.get(f"{_W}styleId", ""))
                style.clear()
    return frozenset(found)


def _pages(part: io.RawIOBase, headings: frozenset[str]) -> Iterator[Page]:
    number, blocks, breaks = 1, list[Block](), 0
    for _event, element in ET.iterparse(part):  # nosec B314 # noqa: S314 - see _Counted
        if element.tag == _FALLBACK:
            # The same text once more, for older programs.
            element.clear()
        if element.tag != f"{_W}p":
            continue
        text, before = _text(element)
        if before and blocks:
            yield Page(number=number, blocks=tuple(blocks))
            blocks.clear()
        number, breaks = number + before, breaks + before
        if text:
            style = _value(element.find(f"{_W}pPr/{_W}pStyle"))
            blocks.append(Block(text, is_heading=style in headings and len(text) <= MOST_HEADING_CHARACTERS))
        element.clear()
    if blocks:
        yield Page(number=number if breaks else 0, blocks=tuple(blocks))


def _text(paragraph: ET.Element) -> tuple[str, int]:
    """Return a paragraph's words in one line, and how many pages begin with it or in it."""
    words: list[str] = []
    breaks = 0
    for element in paragraph.iter():
        if element.tag == f"{_W}t":
            words.append(element.text or "")
        elif element.tag in {f"{_W}tab", f"{_W}br", f"{_W}cr"}:
            words.append(" ")
        is_page = element.tag == f"{_W}br" and element.get(f"{_W}type") == "page"
        breaks += is_page or element.tag == f"{_W}lastRenderedPageBreak"
    return " ".join("".join(words).split()), breaks


def _value(element: ET.Element | None) -> str:
    return "" if element is None else element.get(f"{_W}val", "")
