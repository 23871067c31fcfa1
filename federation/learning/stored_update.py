"""Look at the arrays of a kept update one by one, so that a round of many schools fits into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from federation.learning.gram_matrix import gram_mend
from federation.learning.schemes.contribution import ArrayName
from federation.learning.update import MAX_ENVELOPE_BYTES, update_header
from federation.learning.update_body import body_read, body_size
from federation.wire.rounds import ArrayShape, Factor, Precision, UpdateHeader


class StoredArrays(Mapping[ArrayName, NDArray[np.float32]]):
    """The arrays of an update that was judged when it was taken in; each is read when it is looked at, and not kept."""

    def __init__(self, path: Path, *, precision: Precision) -> None:
        """Read the header alone.

        Raises:
            MalformedUpdate, MalformedDocument, WrongKind: the file is no longer an update.
        """
        self._path, self._precision = path, precision
        self._places: dict[ArrayName, tuple[int, ArrayShape]] = {}
        line = _header_line(path)
        start = len(line)
        for shape in update_header(line).shapes:
            self._places[shape.slot, shape.factor] = start, shape
            start += body_size([shape], precision)

    def __getitem__(self, name: ArrayName) -> NDArray[np.float32]:
        """Return the array as `update_read` does."""
        start, shape = self._places[name]
        with self._path.open("rb") as file:
            file.seek(start)
            piece = file.read(body_size([shape], self._precision))
        array = body_read(piece, [shape], self._precision)[name]
        return gram_mend(array) if shape.factor is Factor.GRAM else array

    def __iter__(self) -> Iterator[ArrayName]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def stored_header(path: Path) -> UpdateHeader:
    """Return what an update that was taken in says of itself.

    Raises:
        MalformedUpdate, MalformedDocument, WrongKind: the file is no longer an update.
    """
    return update_header(_header_line(path))


def _header_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(MAX_ENVELOPE_BYTES)
