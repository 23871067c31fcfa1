"""The centre's keys and its TUF repository, as the rest of the centre reads them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from central.disk import centre_disk
from federation.trust import tuf_publisher
from federation.trust.key_files import key_file_open, key_files_find
from federation.trust.keys import DirectorKey, KeyUnreadable, key_id


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
    return tuf_publisher.metadata_version_read(centre_disk().tuf)


def director_key() -> DirectorKey:
    """Return the key that signs assignments and round plans: the one that the published targets name.

    A new director's key is used once the targets key has signed for it, and not before: nodes would refuse it.

    Raises:
        RepositoryMissing: the keys were not created yet.
        KeyUnreadable: the key that schools believe does not lie here.
    """
    disk = centre_disk()
    wanted = key_id(tuf_publisher.director_public(disk.tuf))
    for file in key_files_find(disk.keys):
        if file.key_id == wanted and not file.is_encrypted:
            return key_file_open(file, passphrase=lambda _path: "")
    raise KeyUnreadable(path=str(disk.director_key), problem="not the key that the targets metadata names")
