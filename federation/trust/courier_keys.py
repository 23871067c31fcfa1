"""The keys to which schools seal what they send by stick: one in force, and those before it.

A stick comes back weeks after the key was changed, so every key that lies here still opens what was sealed to it.
"""

from __future__ import annotations

from pathlib import Path

from federation.trust.key_files import KeyFile
from federation.trust.keys import KeyUnreadable, NodeKey, node_key_load

COURIER = "courier"


def courier_keys_load(keys: Path) -> tuple[NodeKey, ...]:
    """Return every courier's key under `keys`.

    Raises:
        KeyUnreadable: there is none, or one is damaged.
    """
    found = tuple(node_key_load(path) for path in _paths(keys))
    if not found:
        raise KeyUnreadable(path=str(keys / f"{COURIER}.pem"), problem="missing")
    return found


def courier_files_find(keys: Path) -> tuple[KeyFile, ...]:
    """Return the courier's key files under `keys`; damaged ones are passed over."""
    found = []
    for path in _paths(keys):
        try:
            public = node_key_load(path).public_key()
        except KeyUnreadable:
            continue
        found.append(KeyFile(path=path, name=path.stem, public=public, is_encrypted=False))
    return tuple(found)


def _paths(keys: Path) -> list[Path]:
    return sorted(keys.glob(f"{COURIER}*.pem"))
