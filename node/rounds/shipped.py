"""Which release each of this school's updates shipped in, by the releases on this disk alone (protocol §6.7).

An adapter brings the list of what it and those before it shipped; the indexes of adapters from before such lists name
what is in them. Both were verified when they came. Reads only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from federation.errors import FederationError
from federation.trust.release_bytes import INDEX_NAME, index_parse
from federation.wire.contributions import LIST_NAME, versions_find


def versions_shipped(*, root: Path, updates: Collection[str]) -> dict[str, int]:
    """Return, of the `updates` (SHA-256) that a known release has, the lowest version of one that does."""
    versions: dict[str, int] = {}
    for found in [*_by_lists(root, updates), *_by_indexes(root, updates)]:
        for update, version in found.items():
            versions[update] = min(version, versions.get(update, version))
    return versions


def _by_lists(root: Path, updates: Collection[str]) -> Iterator[Mapping[str, int]]:
    for path in root.glob(f"releases/*/{LIST_NAME}"):
        with contextlib.suppress(OSError, FederationError):
            yield versions_find(path.read_bytes(), updates)


def _by_indexes(root: Path, updates: Collection[str]) -> Iterator[Mapping[str, int]]:
    for path in [*root.glob(f"releases/*/{INDEX_NAME}"), *root.glob("tuf/indexes/*.json")]:
        with contextlib.suppress(OSError, FederationError, json.JSONDecodeError):
            content = path.read_bytes()
            # Most name none, and to read a document of megabytes takes a school's PC seconds.
            if any(update.encode() in content for update in updates):
                index = index_parse(content)
                yield {update: index.version for update in updates if update in index.contributions}
