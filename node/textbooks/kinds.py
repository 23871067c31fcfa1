"""What kind of file it is, by its first bytes: a name says nothing, and a browser's word for it neither."""

from __future__ import annotations

import enum

from node.textbooks.errors import TextbookKindUnknown

HEAD_BYTES = 4096
_PDF, _ZIP = b"%PDF-", b"PK\x03\x04"
# The standard lets other bytes stand before the mark; Acrobat looks at this many.
_PDF_WITHIN = 1024
# Bytes below a space that a text may hold: tab, line ends, form feed.
_TEXT_CONTROLS = frozenset(b"\t\n\r\f")
_BOMS = (b"\xff\xfe", b"\xfe\xff")


class Kind(enum.Enum):
    """A kind of file that is read."""

    PDF = "pdf"
    DOCX = "docx"
    TEXT = "text"


def kind_of(head: bytes) -> Kind:
    """Return the kind of a file that begins with `head`, its first 4,096 bytes.

    Raises:
        TextbookKindUnknown: it is none of them.
    """
    if _PDF in head[:_PDF_WITHIN]:
        return Kind.PDF
    if head.startswith(_ZIP):
        return Kind.DOCX
    if head.strip() and not head.startswith(_BOMS) and all(b >= 0x20 or b in _TEXT_CONTROLS for b in head):  # noqa: PLR2004
        return Kind.TEXT
    raise TextbookKindUnknown
