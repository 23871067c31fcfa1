"""The release that an installation stick begins with (protocol §8.3)."""

from __future__ import annotations

from federation.trust import stick_layout as layout
from federation.trust.envelopes import FIRST_RELEASE, envelope_open
from federation.trust.keys import VerifyingKey
from federation.trust.stick_disk import StickDisk
from federation.wire.canonical import parse
from federation.wire.installer import FirstRelease


def first_release_read(*, disk: StickDisk, director_key: VerifyingKey) -> FirstRelease | None:
    """Return what the stick names to begin with, or None where it is no installation stick.

    Raises:
        TrustError, MalformedDocument: the director did not say so.
        StickGone: the stick was pulled out.
    """
    content = disk.read(layout.FIRST_RELEASE, limit_bytes=layout.MAX_LETTER_BYTES)
    if content is None:
        return None
    return parse(FirstRelease, envelope_open(content, kind=FIRST_RELEASE, key=director_key))
