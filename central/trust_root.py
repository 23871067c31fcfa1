"""The centre's keys and its TUF repository, as the rest of the centre reads them.

Every check-in asks for the director's key and for the versions of what is published. Reading and parsing those files is
most of its work, so what was read is kept for as long as the files are the same.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from central.disk import CentreDisk, centre_disk
from federation.trust import tuf_publisher
from federation.trust.key_files import key_file_look, key_file_open, key_files_find
from federation.trust.keys import DirectorKey, KeyUnreadable, key_id

Stamp: TypeAlias = tuple[int, int, int] | None
"""Which file lies at a path; another one after every rename. None: there is none."""


def keys_make(*, now: datetime, public: Path | None = None) -> str:
    """Leave all keys and an empty TUF repository; return the fingerprint of its root. Safe to repeat.

    With `public`, a folder of public halves, no offline key is made on this machine.

    Raises:
        SignaturesMissing: the offline keys must sign the first metadata elsewhere.
        KeyUnreadable: a public half is missing, or a key file is damaged.
    """
    disk = centre_disk()
    content = tuf_publisher.repository_create(root=disk.tuf, keys=disk.keys, now=now, public=public)
    return tuf_publisher.root_fingerprint(content)


def root_metadata_read() -> bytes:
    """Return the TUF root that schools start from.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    return tuf_publisher.root_metadata_read(centre_disk().tuf)


def root_metadata_find(fingerprint: str) -> bytes | None:
    """Return the root with this fingerprint, be it the newest or one that led to it; None where there never was one.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    published = tuf_publisher.metadata_read(root=centre_disk().tuf)
    roots = (content for name, content in published if name.endswith(".root.json"))
    return next((content for content in roots if tuf_publisher.root_fingerprint(content) == fingerprint), None)


def root_fingerprint() -> str:
    """Return what is printed beside a claim code.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    return tuf_publisher.root_fingerprint(root_metadata_read())


def metadata_version() -> str:
    """Return the versions of the root and the timestamp that are published now, such as `1.17`.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    disk = centre_disk()
    return _metadata_version(disk, _published_stamp(disk), _stamp(disk.tuf / "metadata"))


def director_key() -> DirectorKey:
    """Return the key that signs assignments and round plans: the one that the published targets name.

    A new director's key is used once the targets key has signed for it, and not before: nodes would refuse it.

    Raises:
        RepositoryMissing: the keys were not created yet.
        KeyUnreadable: the key that schools believe does not lie here.
    """
    disk = centre_disk()
    published = _published_stamp(disk)
    path = _director_path(disk, published, _stamp(disk.keys))
    if not path.exists():
        # It was moved into another folder of the keys, or away.
        _director_path.cache_clear()
        path = _director_path(disk, published, _stamp(disk.keys))
    return _director_open(disk, path, published, _stamp(path))


@lru_cache(maxsize=4)
def _metadata_version(disk: CentreDisk, _published: Stamp, _folder: Stamp) -> str:
    return tuf_publisher.metadata_version_read(disk.tuf)


@lru_cache(maxsize=4)
def _director_path(disk: CentreDisk, _published: Stamp, _folder: Stamp) -> Path:
    wanted = key_id(tuf_publisher.director_public(disk.tuf))
    for file in key_files_find(disk.keys):
        if file.key_id == wanted and not file.is_encrypted:
            return file.path
    raise KeyUnreadable(path=str(disk.director_key), problem="not the key that the targets metadata names")


@lru_cache(maxsize=4)
def _director_open(disk: CentreDisk, path: Path, _published: Stamp, _file: Stamp) -> DirectorKey:
    key = key_file_open(key_file_look(path), passphrase=lambda _path: "")
    if key_id(key) != key_id(tuf_publisher.director_public(disk.tuf)):
        raise KeyUnreadable(path=str(path), problem="not the key that the targets metadata names")
    return key


def _published_stamp(disk: CentreDisk) -> Stamp:
    # Whatever is published ends with a new timestamp.
    return _stamp(disk.tuf / "metadata" / "timestamp.json")


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
