"""The doors of the school's other PCs: a list in a file, because one process finds them and another fetches.

Whoever is on it is none the more believed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from federation.trust.durable import durable_write
from federation.trust.peers import HttpPeer
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse

MOST_NEIGHBOURS = 16
NAME = "neighbours.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Addresses of doors, as `http://…`."""

    doors: tuple[str, ...]


def neighbours_read(root: Path) -> tuple[str, ...]:
    """Return the doors that were heard of last; none where this node's own is closed."""
    try:
        return parse(Neighbours, (root / NAME).read_bytes()).doors[:MOST_NEIGHBOURS]
    except (OSError, MalformedDocument):
        return ()


def neighbours_write(root: Path, doors: Sequence[str]) -> None:
    """Keep the list of doors."""
    durable_write(root / NAME, canonical_bytes(Neighbours(doors=tuple(sorted(set(doors))))))


def neighbours_forget(root: Path) -> None:
    """Leave no list."""
    (root / NAME).unlink(missing_ok=True)


def peers_at_hand(root: Path, client: httpx.Client) -> Sequence[HttpPeer]:
    """Return the neighbours as sources of chunks; `client` is one of `peer_client`."""
    return [HttpPeer(client=client, base_url=door) for door in neighbours_read(root)]
