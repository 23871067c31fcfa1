"""The centre's keys and its TUF repository, as the rest of the centre reads them."""

from __future__ import annotations

from datetime import datetime

from central.disk import centre_disk
from federation.trust import tuf_publisher
from federation.trust.keys import DirectorKey, director_key_load


def keys_create(*, now: datetime) -> str:
    """Leave all keys and an empty TUF repository; return the fingerprint of its root. Safe to repeat."""
    disk = centre_disk()
    content = tuf_publisher.repository_create(root=disk.tuf, keys=disk.keys, now=now)
    return tuf_publisher.root_fingerprint(content)


def root_metadata_read() -> bytes:
    """Return the TUF root that schools start from.

    Raises:
        RepositoryMissing: the keys were not created yet.
    """
    return tuf_publisher.root_metadata_read(centre_disk().tuf)


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
    """Return the key that signs assignments and round plans.

    Raises:
        KeyUnreadable: the keys were not created yet.
    """
    return director_key_load(tuf_publisher.director_key_path(centre_disk().keys))
