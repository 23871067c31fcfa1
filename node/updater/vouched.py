"""Which program root may take: one that the ministry's TUF targets hold, by metadata that root has verified itself.

The node's user keeps the newest metadata under its own root, and may have written anything there. Root follows them
from the root of trust that the installation left, in files of its own, so that an older list is refused here as well.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from federation.trust import stick_layout as layout
from federation.trust.errors import ReleaseNotTrusted
from federation.trust.folder_transport import BASE_URL, Reader, folder_client
from federation.trust.release_bytes import SHA256_HEX_DIGITS
from federation.trust.tuf_client import TrustedReleases
from federation.wire.releases import ReleaseIndex
from node.programs.place import ProgramPlace
from node.programs.services import ready_path
from node.updater.foreign_file import foreign_read

_NUMBERED_ROOT = re.compile(r"([0-9]{1,9})\.root\.json", re.ASCII)
_ROLE = re.compile(r"(?:[0-9]{1,9}\.)?(targets|snapshot|timestamp)\.json", re.ASCII)
# It becomes the name of a folder.
_PLAIN_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,59}", re.ASCII)


def ready_digest(data: Path) -> str:
    """Return the digest of the program that the node has fetched for root; empty where it has none."""
    content = foreign_read(ready_path(data), limit_bytes=SHA256_HEX_DIGITS) or b""
    digest = content.decode("ascii", "replace")
    return digest if layout.is_digest(digest) else ""


def program_vouched(*, place: ProgramPlace, data: Path, digest: str, now: datetime) -> ReleaseIndex:
    """Return the index of the program `digest`, for which TUF's targets vouch now.

    Raises:
        TrustError: they do not; or the metadata are expired, older than seen before, unsigned or damaged.
        MetadataUnreachable: some of them are missing.
        MalformedDocument: what they vouch for is no program.
    """
    with folder_client(_reader(data / "tuf")) as client:
        trusted = TrustedReleases(root=place.trust, base_url=BASE_URL, client=client)
        trusted.refresh(now=now)
        index = trusted.program_fetch(digest)
    if not _PLAIN_VERSION.fullmatch(index.title):
        raise ReleaseNotTrusted(release=digest)
    return index


def _reader(kept: Path) -> Reader:
    """Return what reads the node's metadata by the names that a repository has."""

    def read(path: str) -> bytes | None:
        folder, _, name = path.rpartition("/")
        if folder == layout.PROGRAM_TARGETS:
            place = kept / "indexes" / f"{name.partition('.')[0]}.json"
        elif match := _NUMBERED_ROOT.fullmatch(name):
            place = kept / "metadata" / "root_history" / f"{match[1]}.root.json"
        elif match := _ROLE.fullmatch(name):
            place = kept / "metadata" / f"{match[1]}.json"
        else:
            return None
        return foreign_read(place, limit_bytes=layout.MAX_METADATA_BYTES)

    return read
