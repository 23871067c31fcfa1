"""Arrays by slot and factor as one archive, for the centre's own use: between two of its processes, or its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.learning.schemes.contribution import ArrayName
from federation.wire.rounds import Factor


def arrays_bytes(arrays: Mapping[ArrayName, NDArray[Any]]) -> bytes:
    """Return `arrays` as a NumPy archive, each in its own type."""
    content = BytesIO()
    named: dict[str, Any] = {f"{slot}/{factor.value}": array for (slot, factor), array in arrays.items()}
    np.savez(content, **named)
    return content.getvalue()


def arrays_read(content: bytes) -> dict[ArrayName, NDArray[Any]]:
    """Return the arrays of an archive."""
    with np.load(BytesIO(content), allow_pickle=False) as kept:
        parts = {name: name.rpartition("/") for name in kept.files}
        return {(slot, Factor(factor)): kept[name] for name, (slot, _, factor) in parts.items()}
