"""Where a stick may be: what this machine has mounted of removable media, and the folders that its operator named.

Reads `/proc/self/mounts`, as the kernel writes it. Source: man 5 fstab (the same fields, octal escapes).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE_SYSTEMS = frozenset(
    ("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "ext2", "ext3", "ext4", "msdos", "udf", "hfsplus")
)
MOUNTED_UNDER = ("/media/", "/run/media/", "/mnt/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """A folder that a person may choose."""

    place: Path
    name: str
    free_bytes: int
    is_prepared: bool
    """Whether the centre has prepared it."""


def media_find(
    *, mounts: Iterable[str], folders: Sequence[Path], under: tuple[str, ...] = MOUNTED_UNDER
) -> tuple[Medium, ...]:
    """Return the media that are there now: of `mounts` (lines of the kernel's table), then the operator's `folders`.

    Of the mounts only those count that lie `under` the folders where desktops mount sticks.
    """
    places = [place for line in mounts if (place := _place(line)) and f"{place}/".startswith(under)]
    found = []
    for place in dict.fromkeys([*places, *folders]):
        try:
            usage = os.statvfs(place)
            is_prepared = (place / "soro" / "stick.json").is_file()
        except OSError:
            continue
        free_bytes = usage.f_bavail * usage.f_frsize
        found.append(Medium(place=place, name=place.name, free_bytes=free_bytes, is_prepared=is_prepared))
    return tuple(found)


def mounts_read() -> list[str]:
    """Return the lines of the kernel's table of what is mounted."""
    try:
        return Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def _place(line: str) -> Path | None:
    words = line.split(" ")
    if len(words) < 3 or words[2] not in FILE_SYSTEMS:  # noqa: PLR2004 - device, place, kind
        return None
    place = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), words[1])
    return Path(place)
