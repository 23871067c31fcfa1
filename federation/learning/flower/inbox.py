"""The inbox of one round: update files and the records of why its runs ended.

Files are named `<node>-<n>.update`, where n counts what this node handed in by Flower for this round. A name begins to
exist only when its bytes are on the disk. The centre may rename a judged file by adding a suffix, but as long as a name
begins with `<node>-<n>.` the node counts as collected and is not asked again.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from federation.trust.durable import durable_write

_NODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FILE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,63})-([0-9]{1,9})\..+")
_CLOSE = "close"


class RoundInbox:
    """The folder `<inbox>/<round_id>`; it exists once this object does."""

    def __init__(self, *, inbox: Path, round_id: str) -> None:
        self.folder = inbox / round_id
        self.folder.mkdir(parents=True, exist_ok=True)
        self._newest = self._look()
        """By node the number of its newest file."""

    def collected_nodes(self) -> set[str]:
        """Return the names of the nodes that have handed in an update, judged already or not."""
        self._newest = self._look()
        return set(self._newest)

    def update_write(self, *, node: str, update: bytes) -> Path:
        """Return the path under which the update now lies on the disk, safe from a power cut.

        The folder is not listed for it: in a round of a thousand schools that takes longer than the writing.
        """
        number = self._newest.get(node, 0) + 1
        # The run of another SuperLink may have written since.
        while (path := self.folder / f"{node}-{number}.update").exists():
            number += 1
        durable_write(path, update)
        self._newest[node] = number
        return path

    def is_close_asked(self) -> bool:
        """Return whether the centre has asked this round's runs to end, by a file called `close`."""
        return (self.folder / _CLOSE).exists()

    def run_write(self, record: dict[str, object], *, run_id: int) -> None:
        """Leave `run-<run id>.json` with why and how the run ended; several SuperLinks may collect for one round."""
        durable_write(self.folder / f"run-{run_id}.json", json.dumps(record, indent=1, sort_keys=True).encode())

    def _look(self) -> dict[str, int]:
        newest: dict[str, int] = {}
        with os.scandir(self.folder) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            if found := _FILE.fullmatch(name):
                newest[found[1]] = max(int(found[2]), newest.get(found[1], 0))
        return newest


def node_name_safe(*, name: str, flower_node_id: int) -> str:
    """Return the name a node was registered with if it may be a file name, else the node's id at the SuperLink."""
    return name if _NODE.fullmatch(name) else str(flower_node_id)
