"""The centre's letter to one PC: signed by the director, then sealed to the PC; opened in the reverse order."""

from __future__ import annotations

from federation.trust import stick_layout as layout
from federation.trust.envelopes import CENTRE_LETTER, envelope_open, envelope_seal
from federation.trust.keys import DirectorKey, NodeKey, VerifyingKey, key_id
from federation.trust.sealing import sealed, sealed_open
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_errors import LetterOfOtherReader
from federation.wire.canonical import canonical_bytes, parse
from federation.wire.courier import CentreLetter


def letter_seal(letter: CentreLetter, *, key: DirectorKey, reader: VerifyingKey) -> bytes:
    """Return the letter as it lies on a stick."""
    envelope = envelope_seal(payload=canonical_bytes(letter), kind=CENTRE_LETTER, key=key)
    return sealed(envelope, kind=layout.CENTRE_LETTER, reader=reader)


def letter_read(*, disk: StickDisk, key: NodeKey) -> bytes | None:
    """Return the envelope of the letter for the PC with this key, opened and not yet judged; None where there is none.

    Raises:
        LetterUnreadable: cut short, altered, or not for this PC.
        LetterTooLong: longer than any letter.
        StickGone: the stick was pulled out.
    """
    content = disk.read(layout.letter_path(key_id(key)), limit_bytes=layout.MAX_LETTER_BYTES)
    if content is None:
        return None
    return sealed_open(content, kind=layout.CENTRE_LETTER, key=key, limit_bytes=layout.MAX_LETTER_BYTES)


def letter_open(envelope: bytes, *, director_key: VerifyingKey, reader: str) -> CentreLetter:
    """Return the letter that the director signed for the PC with the key id `reader`.

    Raises:
        MalformedDocument, WrongKind, BadSignature: it is no letter of the director's.
        LetterOfOtherReader: it was written to somebody else.
    """
    letter = parse(CentreLetter, envelope_open(envelope, kind=CENTRE_LETTER, key=director_key))
    if letter.reader != reader:
        raise LetterOfOtherReader(expected=reader, found=letter.reader[:64])
    return letter
