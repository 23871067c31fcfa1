"""Why a textbook is not taken, or cannot be read; each has a sentence in `node.sentences`. Knows no Django."""

from __future__ import annotations

from federation.errors import TransportError, WireError


class TextbookRefused(WireError):
    """The form is not filled in as it must be: `reason` is the field: title, subject, grade or file."""

    code = "textbook_refused"


class TextbookMissing(WireError):
    """There is no textbook with this number."""

    code = "textbook_missing"


class TextbookThereAlready(WireError):
    """The very same file is here as the textbook `title`."""

    code = "textbook_there_already"


class TextbookTooBig(WireError):
    """The file is larger than `most_megabytes`."""

    code = "textbook_too_big"


class TextbookKindUnknown(WireError):
    """The file is neither PDF nor DOCX nor plain text."""

    code = "textbook_kind_unknown"


class TextbookDamaged(WireError):
    """The file begins as its kind does and cannot be read as one."""

    code = "textbook_damaged"


class TextbookEncrypted(WireError):
    """The PDF opens with a password only."""

    code = "textbook_encrypted"


class TextbookWithoutText(WireError):
    """The pages are pictures: there are next to no letters on them."""

    code = "textbook_without_text"


class TextbookLettersBroken(WireError):
    """The letters that the file holds are not those that a person sees: its fonts say wrongly what they draw."""

    code = "textbook_letters_broken"


class TextbookTooLong(WireError):
    """The file has more pages or letters than any textbook."""

    code = "textbook_too_long"


class TextbookTooHeavy(WireError):
    """Reading the file takes more memory or time than a school's PC has for it, or it swells when unpacked."""

    code = "textbook_too_heavy"


class TextbookReadingCut(TransportError):
    """The reading was cut off as often as it is tried, by the power or by the file itself."""

    code = "textbook_reading_cut"


READING_ERRORS: dict[str, type[WireError]] = {
    error.code: error
    for error in (
        TextbookKindUnknown,
        TextbookDamaged,
        TextbookEncrypted,
        TextbookTooLong,
        TextbookTooHeavy,
    )
}
"""What the process that reads a file may end with."""
