"""Remember where each private key was last seen, so that years later somebody knows which stick to look for.

Kept in `seen.json` beside the centre's keys, by key id. It holds no secret and decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from federation.trust.durable import durable_write
from federation.trust.key_files import KeyFile
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A private key was at `path` on `at`."""

    name: str
    path: str
    is_encrypted: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    keys: Mapping[str, Sighting]


def sightings_read(keys: Path) -> Mapping[str, Sighting]:
    """Return the last sighting of each key, by its id; a damaged record counts as none."""
    try:
        return parse(_Seen, (keys / "seen.json").read_bytes()).keys
    except (FileNotFoundError, MalformedDocument):
        return {}


def sightings_record(keys: Path, files: Iterable[KeyFile], *, now: datetime) -> Mapping[str, Sighting]:
    """Remember that the private keys in `files` were seen now; return all sightings."""
    seen = dict(sightings_read(keys))
    for file in files:
        path = str(file.path.absolute())
        seen[file.key_id] = Sighting(name=file.name, path=path, is_encrypted=file.is_encrypted, at=now)
    durable_write(keys / "seen.json", canonical_bytes(_Seen(keys=seen)), mode=0o600)
    return seen


def sightings_take_over(keys: Path, *, carried: Path, known: Collection[str]) -> None:
    """Remember what another PC has recorded in the folder `carried` of the keys with the ids `known`."""
    news = {key: sighting for key, sighting in sightings_read(carried).items() if key in known}
    if news:
        durable_write(keys / "seen.json", canonical_bytes(_Seen(keys={**sightings_read(keys), **news})), mode=0o600)
