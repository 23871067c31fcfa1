"""Where everything lies on a stick, and how long it may be: names that FAT32 holds, and nothing else (protocol §7.1).

Names are lower-case letters, digits, dots, dashes and underscores; folders fan out by two digits, because a FAT32
folder holds few long names; a file of a release is cut into parts, because a FAT32 file ends at 4 GiB. Pure.
"""

from __future__ import annotations

import re

FOLDER = "soro"
MARK = "stick.json"
FIRST_RELEASE = "first-release.json"
METADATA = "tuf/metadata"
TARGETS = "tuf/targets/releases"
PROGRAM_TARGETS = "tuf/targets/programs"
BLOBS = "blobs"
LETTERS = "letters"
RETURNS = "returns"
SEALED = ".sealed"

CENTRE_LETTER = "centre-letter"
ENROLMENT = "enrolment"
CHECK_IN = "check-in"
PARCELS = "parcels"
UPDATE = "update"

PART_BYTES = 64 * 1024 * 1024
"""A whole number of chunks; what a pulled stick costs at most."""
CLUSTER_BYTES = 32 * 1024
"""The largest cluster that FAT32 is made with by default: no file takes less."""
MAX_MARK_BYTES = 4 * 1024
MAX_METADATA_BYTES = 8 * 1024 * 1024
MAX_LETTER_BYTES = 8 * 1024 * 1024
MAX_UPDATE_BYTES = 128 * 1024 * 1024
MAX_SCHOOLS = 20_000
MAX_FILES = 10_000
"""In one folder."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_METADATA_NAME = re.compile(r"([0-9]{1,9}\.)?(root|targets|snapshot|timestamp)\.json")
_RETURN_NAME = re.compile(r"(enrolment|check-in|parcels|update)(-[0-9]{4})?\.sealed")
_PART_NAME = re.compile(r"([0-9a-f]{64})\.([0-9]{4})")


def is_name(text: str) -> bool:
    """Return whether `text` may be the name of a file or folder on a stick."""
    return _NAME.fullmatch(text) is not None


def is_metadata_name(text: str) -> bool:
    """Return whether `text` is the name of a file of TUF metadata."""
    return _METADATA_NAME.fullmatch(text) is not None


def letter_path(key_id: str) -> str:
    """Return where the centre's letter for the PC with this key lies."""
    return f"{LETTERS}/{key_id[:2]}/{key_id}{SEALED}"


def return_folder(key_id: str) -> str:
    """Return the folder of what the PC with this key sends."""
    return f"{RETURNS}/{key_id[:2]}/{key_id}"


def return_name(kind: str, number: int | None = None) -> str:
    """Return the name of one sent file of this kind; several of a kind are numbered from 1."""
    return f"{kind}{SEALED}" if number is None else f"{kind}-{number:04d}{SEALED}"


def return_kind(name: str) -> str | None:
    """Return the kind of sent file that `name` is, or None where it is not one."""
    match = _RETURN_NAME.fullmatch(name)
    return match.group(1) if match else None


def return_limit_bytes(kind: str) -> int:
    """Return how long a sent file of this kind may be, before and after it is inflated."""
    return MAX_UPDATE_BYTES if kind == UPDATE else MAX_LETTER_BYTES


def is_digest(text: str) -> bool:
    """Return whether `text` is a SHA-256 in hexadecimal."""
    return _DIGEST.fullmatch(text) is not None


def index_path(digest: str) -> str:
    """Return where the index of a release lies: as TUF names a target that is named after its own digest."""
    return f"{TARGETS}/{digest}.{digest}.json"


def program_index_path(digest: str) -> str:
    """Return where the index of a program lies, as `index_path` says of a release's."""
    return f"{PROGRAM_TARGETS}/{digest}.{digest}.json"


def part_path(sha256: str, part: int) -> str:
    """Return where a part, counted from 0, of a release's file lies."""
    return f"{BLOBS}/{sha256[:2]}/{sha256}.{part:04d}"


def part_blob(name: str) -> str | None:
    """Return the SHA-256 of the file that the part called `name` belongs to, or None where it is no part."""
    match = _PART_NAME.fullmatch(name)
    return match.group(1) if match else None


def part_sizes(size_bytes: int) -> list[int]:
    """Return the sizes of the parts of a file, in order; an empty file has none."""
    whole, rest = divmod(size_bytes, PART_BYTES)
    return [PART_BYTES] * whole + ([rest] if rest else [])


def occupied_bytes(size_bytes: int) -> int:
    """Return what a file of this size takes on a stick at most, with its entry in the folder."""
    return (size_bytes // CLUSTER_BYTES + 1) * CLUSTER_BYTES + 1024
