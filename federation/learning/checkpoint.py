"""Keep what the next step of a training depends on, so that a power cut costs the steps since then and no more."""

from __future__ import annotations

import io
import logging
import pickle  # nosec B403 # for the name of an error; torch.load reads weights only
from pathlib import Path
from typing import Any

import torch

from federation.trust.durable import durable_write

_log = logging.getLogger(__name__)


def checkpoint_write(path: Path, state: dict[str, Any]) -> None:
    """Leave `state` at `path`: after a cut the file holds the old state or this one."""
    stream = io.BytesIO()
    torch.save(state, stream)
    durable_write(path, stream.getvalue(), mode=0o600)


def checkpoint_read(path: Path, *, identity: str) -> dict[str, Any] | None:
    """Return the state at `path` if it is of `identity`; a damaged one costs the steps it held, never the round."""
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        _log.warning("checkpoint %s is unreadable, training starts over: %s", path, type(error).__name__)
        return None
    return state if state["identity"] == identity else None
