"""The file of a backup: a heading that anybody may read, and a content that only the passphrase opens.

Eight bytes of magic, the heading's length (4 bytes, big-endian) and its canonical JSON, a check of 32 bytes, then the
content in chunks of `chunk_bytes`, each sealed with ChaCha20-Poly1305. A chunk's nonce is its number and whether it is
the last, so none can be swapped or left out; the heading is under the check. One chunk is in memory at a time.

Source: STREAM (Hoang, Reyhanitabar, Rogaway and Vizár 2015, §3); scrypt (RFC 7914); RFC 8439.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from node.backup.errors import BackupDamaged, BackupTooNew, BackupUnreadable, PassphraseRefused, PassphraseWrong

MAGIC = b"SOROBAK"
VERSION = 1
CHUNK_BYTES = 1024 * 1024
LEAST_CHARACTERS = 10
# 64 MiB and about a third of a second on a school's PC, for each guess of whoever has the file.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1
_MOST_SCRYPT_N, _MOST_CHUNK_BYTES, _MOST_HEADING_BYTES = 2**18, 16 * 1024 * 1024, 64 * 1024
_DIGITS = (b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9")
_KEY_BYTES, _TAG_BYTES, _CHECK_BYTES, _LENGTH_BYTES = 32, 16, 32, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What can be read of a backup without the passphrase."""

    made_at: datetime
    school: str
    """Empty: the PC belonged to none."""
    node_id: str
    salt: bytes
    scrypt_n: int = SCRYPT_N
    chunk_bytes: int = CHUNK_BYTES


def passphrase_read(text: str) -> bytes:
    """Return the bytes of a passphrase as somebody typed it: the same ones from every keyboard.

    Raises:
        PassphraseRefused: it has under 10 characters.
    """
    words = unicodedata.normalize("NFKC", text).strip()
    if len(words) < LEAST_CHARACTERS:
        raise PassphraseRefused(least=LEAST_CHARACTERS)
    return words.encode()


def sealed_pieces(*, heading: Heading, passphrase: bytes, content: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the file's bytes; `content` may come in pieces of any size."""
    front = _front(heading)
    key, check_key = _keys(heading, passphrase)
    yield front + hmac.digest(check_key, front, "sha256")
    cipher = ChaCha20Poly1305(key)
    for number, (chunk, is_last) in enumerate(_chunks(content, heading.chunk_bytes)):
        yield cipher.encrypt(_nonce(number, is_last=is_last), chunk, None)


def heading_read(stream: IO[bytes]) -> Heading:
    """Return the heading of the backup that `stream` is at the beginning of; the check comes next.

    Raises:
        BackupUnreadable: it is none.
        BackupTooNew: it is of a later kind.
    """
    front = stream.read(len(MAGIC) + 1 + _LENGTH_BYTES)
    magic, version = front[: len(MAGIC)], front[len(MAGIC) : len(MAGIC) + 1]
    length = int.from_bytes(front[len(MAGIC) + 1 :], "big")
    if magic != MAGIC or version not in _DIGITS or length > _MOST_HEADING_BYTES:
        raise BackupUnreadable
    if int(version) > VERSION:
        raise BackupTooNew
    words = stream.read(length)
    try:
        heading = parse(Heading, words)
    except MalformedDocument as error:
        raise BackupUnreadable from error
    # The check is over what this program would write.
    if canonical_bytes(heading) != words:
        raise BackupUnreadable
    is_power = heading.scrypt_n > 1 and heading.scrypt_n & (heading.scrypt_n - 1) == 0
    if not (is_power and heading.scrypt_n <= _MOST_SCRYPT_N and 0 < heading.chunk_bytes <= _MOST_CHUNK_BYTES):
        raise BackupUnreadable
    return heading


def opened_pieces(*, stream: IO[bytes], heading: Heading, passphrase: bytes) -> Iterator[bytes]:
    """Yield the content, each piece as it was sealed; `stream` is just behind the heading.

    Raises:
        PassphraseWrong: before anything is yielded.
        BackupDamaged: altered or cut short; what was yielded before is as it was sealed.
    """
    key, check_key = _keys(heading, passphrase)
    expected = hmac.digest(check_key, _front(heading), "sha256")
    if not hmac.compare_digest(stream.read(_CHECK_BYTES), expected):
        raise PassphraseWrong
    cipher, number, size = ChaCha20Poly1305(key), 0, heading.chunk_bytes + _TAG_BYTES
    sealed = stream.read(size)
    while True:
        following = stream.read(size)
        try:
            yield cipher.decrypt(_nonce(number, is_last=not following), sealed, None)
        except InvalidTag as error:
            raise BackupDamaged(chunk=number) from error
        if not following:
            return
        sealed, number = following, number + 1


def _front(heading: Heading) -> bytes:
    words = canonical_bytes(heading)
    return MAGIC + str(VERSION).encode() + len(words).to_bytes(_LENGTH_BYTES, "big") + words


def _keys(heading: Heading, passphrase: bytes) -> tuple[bytes, bytes]:
    drawn = hashlib.scrypt(
        passphrase,
        salt=heading.salt,
        n=heading.scrypt_n,
        r=SCRYPT_R,
        p=SCRYPT_P,
        # OpenSSL's own bound is 32 MiB; what it takes beside the table is a few blocks.
        maxmem=128 * heading.scrypt_n * SCRYPT_R + 2**20,
        dklen=2 * _KEY_BYTES,
    )
    return drawn[:_KEY_BYTES], drawn[_KEY_BYTES:]


def _nonce(number: int, *, is_last: bool) -> bytes:
    # The key is this file's alone, so the number is all that a nonce has to tell.
    return number.to_bytes(11, "big") + bytes([is_last])


def _chunks(content: Iterable[bytes], chunk_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Yield the content in chunks, each with whether it is the last; an empty content is one empty chunk."""
    held = bytearray()
    for piece in content:
        held += piece
        while len(held) > chunk_bytes:
            yield bytes(held[:chunk_bytes]), False
            del held[:chunk_bytes]
    yield bytes(held), True
