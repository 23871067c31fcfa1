"""Keeps what takes long to make in a folder, each under a digest of everything that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from federation.trust.durable import durable_write

TREE = Path(__file__).resolve().parents[3]
EXAMINER = Path(__file__).with_name("base.py")


def digest_of(*parts: bytes) -> str:
    """Return the SHA-256 of `parts`, each told apart from the next by its length."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8) + part)
    return whole.hexdigest()


def trainer_digest() -> bytes:
    """Return what names the code that trains and measures: other code makes other updates."""
    federation = TREE / "federation"
    files = [
        *sorted((federation / "learning").glob("*.py")),
        *sorted((federation / "learning" / "schemes").glob("*.py")),
        *(federation / name for name in ("basis.py", "tokenizer_file.py")),
        EXAMINER,
        EXAMINER.with_name("schools.py"),
    ]
    return digest_of(*(file.read_bytes() for file in files)).encode()


class Kept:
    """A folder of finished things; a run that was cut takes up again what it had finished."""

    def __init__(self, root: Path) -> None:
        """Keep under `root`, which need not be there."""
        self._root = root

    def content(self, kind: str, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what `make` makes for `key`, or made in an earlier run."""
        path = self._root / kind / key
        if path.exists():
            return path.read_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        content = make()
        durable_write(path, content)
        return content

    def figure(self, kind: str, key: str) -> float:
        """Return the number that was kept for `key`."""
        return float((self._root / kind / key).read_bytes())

    def figures(self, kind: str, key: str, make: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Return the figures that `make` makes for `key`, or made in an earlier run."""
        figures: dict[str, float] = json.loads(self.content(kind, key, lambda: json.dumps(make()).encode()))
        return figures
