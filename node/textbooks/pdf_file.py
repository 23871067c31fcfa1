"""The text of a PDF, page by page. Runs in the process that reads files, never in the page's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

from node.textbooks.errors import TextbookDamaged, TextbookEncrypted, TextbookTooHeavy
from node.textbooks.pages import Page, blocks_of, is_page_number, running_lines

# A page of more is a drawing of a million strokes, which takes minutes and has next to no words: it is passed over.
_MOST_PAGE_BYTES = 32 * 1024 * 1024
# It complains of every small fault, of which any file has some.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


class PdfFile:
    """An open PDF."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            TextbookDamaged: it cannot be read as a PDF.
            TextbookEncrypted: it wants a password.
        """
        try:
            self._reader = PdfReader(path, strict=False)
            # Many are locked against copying alone, and open to everybody with an empty password.
            is_open = not self._reader.is_encrypted or bool(self._reader.decrypt(""))
            self.page_count = len(self._reader.pages) if is_open else 0
        except (FileNotDecryptedError, DependencyError, NotImplementedError) as error:
            raise TextbookEncrypted from error
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            raise TextbookDamaged from error
        if not is_open:
            raise TextbookEncrypted
        if not self.page_count:
            raise TextbookDamaged

    def lines(self) -> Iterator[list[str]]:
        """Yield the lines of each page; a damaged page among good ones is empty.

        Raises:
            TextbookDamaged: no page can be read.
        """
        damaged = 0
        for number in range(self.page_count):
            try:
                text = self._text(number)
            except (MemoryError, RecursionError, LimitReachedError) as error:
                raise TextbookTooHeavy from error
            except Exception:  # noqa: BLE001 - as above; one bad page must not cost the other three hundred
                damaged, text = damaged + 1, ""
            yield text.splitlines()
        if damaged == self.page_count:
            raise TextbookDamaged

    def _text(self, number: int) -> str:
        page = self._reader.pages[number]
        contents = page.get_contents()
        if contents is not None and len(contents.get_data()) > _MOST_PAGE_BYTES:
            return ""
        return page.extract_text()


def pages_of(lines: list[list[str]]) -> Iterator[Page]:
    """Yield the pages that the lines of a whole PDF make, without running titles and page numbers."""
    running = running_lines(lines)
    for number, page in enumerate(lines, start=1):
        edges = {0, len(page) - 1}
        kept = [
            line
            for place, line in enumerate(page)
            if not (place in edges and (line.strip() in running or is_page_number(line)))
        ]
        yield Page(number=number, blocks=blocks_of(kept))
