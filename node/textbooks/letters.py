"""Whether a file's letters are those that a person sees, and mending the two ways in which Tajik files often are not.

Pure. Before Unicode, Tajik was written with fonts of 256 letters: six letters that Tajik does not need stood in the
places of code page 1251 where the font drew its own six. Such files, and PDFs made from them, are everywhere.
"""

from __future__ import annotations

import re
import string
import unicodedata

TAJIK = frozenset("ғӣқӯҳҷҒӢҚӮҲҶ")
# Times New Roman Tj and its kin: the letters of code page 1251 under which they draw the Tajik ones.
_OLD_FONT = str.maketrans("ѓїќўњљЃЇЌЎЊЉ", "ғӣқӯҳҷҒӢҚӮҲҶ")
_OLD_LETTERS = frozenset("ѓїќўњљЃЇЌЎЊЉ")
# Bytes of code page 1251 that were taken for Latin ones.
_LATIN = {code: letter for code in range(0x80, 0x100) if (letter := bytes([code]).decode("cp1251", "ignore"))}
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_RUSSIAN_ALONE = frozenset("ыщцЫЩЦ")
_ENOUGH_LETTERS = 400
_LEAST_LETTERS_ON_A_PAGE = 25
_MOST_STRANGE = 0.03
_MOST_ACCENTED = 0.5


def letters_mend(text: str) -> str:
    """Return `text` composed (NFC), with old fonts' letters as the Tajik ones that they drew."""
    # Halves of surrogate pairs, which a PDF may hold, are no text that anything could write down.
    text = unicodedata.normalize("NFC", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    letters = [letter for letter in text if letter.isalpha()]
    if sum("\u0080" <= letter <= "\u00ff" for letter in letters) > len(letters) * _MOST_ACCENTED:
        text = text.translate(_LATIN)
    text = _CONTROLS.sub("\ufffd", text)
    found = set(text)
    return text.translate(_OLD_FONT) if found & _OLD_LETTERS and not found & TAJIK else text


def has_text(text: str, *, pages: int) -> bool:
    """Return whether what stands on so many pages can be a text, and not page numbers below pictures."""
    letters = sum(not (sign.isspace() or sign.isdecimal() or sign in string.punctuation) for sign in text)
    return letters >= _LEAST_LETTERS_ON_A_PAGE * max(1, pages)


def is_legible(text: str) -> bool:
    """Return whether `text`, which was mended, can be what a person sees on the page.

    It is not where it holds many signs that mean nothing, or long Cyrillic writing without any letter that Tajik has
    and Russian lacks, nor any of those that Russian has and Tajik lacks.
    """
    letters = [letter for letter in text if not letter.isspace()]
    strange = sum(unicodedata.category(letter) in {"Co", "Cn"} or letter == "\ufffd" for letter in letters)
    if strange > len(letters) * _MOST_STRANGE:
        return False
    cyrillic = [letter for letter in letters if "\u0400" <= letter <= "\u04ff"]
    return len(cyrillic) < _ENOUGH_LETTERS or bool(TAJIK.union(_RUSSIAN_ALONE).intersection(cyrillic))
