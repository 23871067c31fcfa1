"""What a prepared checkpoint is and where it came from, kept beside its files in `checkpoint.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from central.releases.packaging.errors import CheckpointMissing

_CARD = "checkpoint.json"
TOKENIZER_FILE = "tokenizer.json"


@dataclass(frozen=True)
class Checkpoint:
    """A prepared folder and what it holds; `digest` names the source's bytes (`sha256:` and 64 hex digits)."""

    folder: Path
    name: str
    architecture: str
    licence: str
    digest: str


def checkpoint_open(folder: Path) -> Checkpoint:
    """Return the checkpoint that `checkpoint_prepare` left at `folder`.

    Raises:
        CheckpointMissing: there is none.
    """
    try:
        return Checkpoint(folder=folder, **json.loads((folder / _CARD).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointMissing(source=str(folder)) from error


def checkpoint_record(checkpoint: Checkpoint) -> None:
    """Write the description of `checkpoint` into its folder, where `checkpoint_open` finds it."""
    card = asdict(checkpoint)
    del card["folder"]
    settings_write(checkpoint.folder / _CARD, card)


def settings_write(path: Path, settings: Mapping[str, Any]) -> None:
    """Write `settings` as the JSON file `path`."""
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", "utf-8")


def file_digest(path: Path) -> str:
    """Return `sha256:` and the hex digest of the file's bytes."""
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
