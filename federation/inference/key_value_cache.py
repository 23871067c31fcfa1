"""The keys and values of every token that the engine has read, one row a conversation.

The buffer is reserved for all rows at once and costs memory only where something was written. A row knows the ids of
the tokens it holds, so that a prompt which begins with them does not have to be read again. It knows no graph.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_KEY_AND_VALUE = 2
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes of one row: a float32 (heads, tokens, head_size) for the keys and one for the values of each layer."""

    layers: int
    heads: int
    head_size: int
    tokens: int

    @property
    def bytes_per_token(self) -> int:
        """What one token of one row takes."""
        return self.layers * _KEY_AND_VALUE * self.heads * self.head_size * _FLOAT_BYTES


class KeyValueCache:
    """`rows` rows of `shape`. Rows are numbered from 0; what a row holds is changed only by the methods."""

    def __init__(self, shape: CacheShape, *, rows: int) -> None:
        """Reserve address space; nothing is written."""
        self.shape = shape
        self.rows = rows
        self._ids: list[list[int]] = [[] for _ in range(rows)]
        self._touched = [0] * rows
        self._memory = mmap.mmap(-1, rows * shape.tokens * shape.bytes_per_token, flags=mmap.MAP_PRIVATE)
        whole: NDArray[np.float32] = np.frombuffer(self._memory, np.float32)
        self._values = whole.reshape(shape.layers, _KEY_AND_VALUE, rows, shape.heads, shape.tokens, shape.head_size)

    def address(self, *, layer: int, part: int, row: int) -> int:
        """Return where the keys (`part` 0) or values (1) of `layer` begin for `row`, with the rows behind it."""
        return int(self._values[layer, part, row].ctypes.data)

    def length(self, row: int) -> int:
        """Return how many tokens the row holds."""
        return len(self._ids[row])

    def touched(self, row: int) -> int:
        """Return how many tokens of memory the row has taken from the machine."""
        return self._touched[row]

    def shared_prefix(self, row: int, ids: Sequence[int]) -> int:
        """Return how many tokens at the beginning of `ids` the row holds."""
        held = self._ids[row]
        length = min(len(held), len(ids))
        return next((n for n in range(length) if held[n] != ids[n]), length)

    def extend(self, row: int, ids: Sequence[int]) -> None:
        """Note that the row now holds `ids` behind what it held."""
        self._ids[row].extend(ids)
        self._touched[row] = max(self._touched[row], len(self._ids[row]))

    def truncate(self, row: int, tokens: int) -> None:
        """Let the row hold its first `tokens` tokens only."""
        del self._ids[row][tokens:]

    def prefix_copy(self, *, source: int, into: int, tokens: int) -> None:
        """Let `into` hold the first `tokens` tokens of `source` and no others."""
        self._values[:, :, into, :, :tokens] = self._values[:, :, source, :, :tokens]
        self._ids[into] = []
        self.extend(into, self._ids[source][:tokens])

    def swap(self, first: int, second: int) -> None:
        """Exchange what two rows hold."""
        if first == second:
            return
        longest = max(len(self._ids[first]), len(self._ids[second]))
        kept = self._values[:, :, first, :, :longest].copy()
        self._values[:, :, first, :, :longest] = self._values[:, :, second, :, :longest]
        self._values[:, :, second, :, :longest] = kept
        self._ids[first], self._ids[second] = self._ids[second], self._ids[first]
        for row in (first, second):
            self._touched[row] = max(self._touched[row], longest)
            if not self._ids[row]:
                self.forget(row)

    def forget(self, row: int) -> None:
        """Empty the row and give its memory back to the machine."""
        self._ids[row] = []
        self._touched[row] = 0
        length = self.shape.heads * self.shape.tokens * self.shape.head_size * _FLOAT_BYTES
        origin = int(self._values.ctypes.data)
        for layer in range(self.shape.layers):
            for part in range(_KEY_AND_VALUE):
                start = self.address(layer=layer, part=part, row=row) - origin
                # Whole pages only: the rest of a page at either end may belong to a neighbour.
                first, last = -(-start // mmap.PAGESIZE), (start + length) // mmap.PAGESIZE
                if first < last:
                    self._memory.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)
