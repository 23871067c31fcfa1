"""Seal content so that one reader alone can open it, and open it with hard limits.

A sealed file is eight bytes that name the form, then HPKE: the encapsulated key and the ciphertext, whose plaintext is
the zlib stream of the content. The kind of content is bound in, so that no file can stand for another. Sealing hides;
who wrote it is told by the signature in the content. Source: RFC 9180, §6 (single-shot), DHKEM(P-384, HKDF-SHA384).
"""

from __future__ import annotations

import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from federation.trust.keys import NodeKey, UnsuitableKey, VerifyingKey
from federation.trust.stick_errors import LetterTooLong, LetterUnreadable

FORM = b"SOROSEA1"
OVERHEAD_BYTES = len(FORM) + 97 + 16
"""The form, an uncompressed point of P-384, and the tag of AES-256-GCM."""
_SUITE = Suite(KEM.P384, KDF.HKDF_SHA384, AEAD.AES_256_GCM)


def sealed(content: bytes, *, kind: str, reader: VerifyingKey) -> bytes:
    """Return `content` as a file of this `kind` that only the holder of `reader`'s private half can open.

    Raises:
        UnsuitableKey: nothing can be sealed to a key on another curve.
    """
    if not isinstance(reader, ec.EllipticCurvePublicKey):
        raise UnsuitableKey(problem="not an EC P-384 key")
    return FORM + _SUITE.encrypt(zlib.compress(content, 9), reader, info=_info(kind))


def sealed_open(content: bytes, *, kind: str, key: NodeKey, limit_bytes: int) -> bytes:
    """Return what was sealed as this `kind` to the public half of `key`.

    Raises:
        LetterUnreadable: cut short, altered, of another kind, or for another reader.
        LetterTooLong: it would inflate to more than `limit_bytes`.
    """
    if not content.startswith(FORM) or len(content) < OVERHEAD_BYTES:
        raise LetterUnreadable(kind=kind)
    try:
        packed = _SUITE.decrypt(content[len(FORM) :], key, info=_info(kind))
    except (InvalidTag, ValueError) as error:
        raise LetterUnreadable(kind=kind) from error
    return _inflated(packed, kind, limit_bytes)


def _info(kind: str) -> bytes:
    return b"soro stick 1 " + kind.encode()


def _inflated(packed: bytes, kind: str, limit_bytes: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, limit_bytes + 1)
    except zlib.error as error:
        raise LetterUnreadable(kind=kind) from error
    if len(content) > limit_bytes:
        raise LetterTooLong(limit_bytes=limit_bytes)
    if not inflater.eof:
        raise LetterUnreadable(kind=kind)
    return content
