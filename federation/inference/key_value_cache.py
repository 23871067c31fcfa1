"""The keys and values of every token that the engine has read, one row a conversation.

The buffer is reserved for all rows at once and costs memory only where something was written. A row knows the ids of
the tokens it holds, so that a prompt which begins with them does not have to be read again. Layers whose attention
looks back over a window only do not keep what is behind it. It knows no graph.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_KEY_AND_VALUE = 2
_FLOAT_BYTES = 4
# Memory behind the window is given back in pieces of so many tokens: each costs a call a layer.
_PIECE_TOKENS = 128


@dataclass(frozen=True, slots=True)
class CacheShape:
    """Sizes of one row: a float32 (heads, tokens, head_size) for the keys and one for the values of each layer.

    `windows` says for each layer how many tokens back it looks; 0: to the beginning.
    """

    heads: int
    head_size: int
    tokens: int
    windows: tuple[int, ...]

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.windows)

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
        # How many tokens at the beginning of a row the layers with a window no longer hold.
        self._dropped = [0] * rows
        self._window = max(shape.windows)
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
        """Return how many tokens at the beginning of `ids` the row holds, with all that a next token looks back to."""
        held = self._ids[row]
        length = min(len(held), len(ids))
        shared = next((n for n in range(length) if held[n] != ids[n]), length)
        dropped = self._dropped[row]
        return shared if not dropped or shared > dropped + self._window else 0

    def extend(self, row: int, ids: Sequence[int]) -> None:
        """Note that the row now holds `ids` behind what it held."""
        self._ids[row].extend(ids)
        self._touched[row] = max(self._touched[row], len(self._ids[row]))
        # One more than the window: a prompt that is held whole is read again from its last token.
        behind = len(self._ids[row]) - self._window - 1
        if self._window and behind - self._dropped[row] >= _PIECE_TOKENS:
            self._dropped[row] = behind
            self._drop(row)

    def truncate(self, row: int, tokens: int) -> None:
        """Let the row hold its first `tokens` tokens only: none, or as many as `shared_prefix` has said."""
        del self._ids[row][tokens:]
        if not tokens:
            self._dropped[row] = 0

    def prefix_copy(self, *, source: int, into: int, tokens: int) -> None:
        """Let `into` hold the first `tokens` tokens of `source` and no others."""
        for layer, window in enumerate(self.shape.windows):
            held = slice(self._dropped[source] if window else 0, tokens)
            self._values[layer, :, into, :, held] = self._values[layer, :, source, :, held]
        self._ids[into] = []
        self._dropped[into] = self._dropped[source]
        self.extend(into, self._ids[source][:tokens])
        self._drop(into)

    def swap(self, first: int, second: int) -> None:
        """Exchange what two rows hold."""
        if first == second:
            return
        # One layer at a time and only what is held: whole rows would for a moment take half as much memory again.
        for layer, window in enumerate(self.shape.windows):
            firsts, seconds = self._held(first, window), self._held(second, window)
            kept = self._values[layer, :, first, :, firsts].copy()
            self._values[layer, :, first, :, seconds] = self._values[layer, :, second, :, seconds]
            self._values[layer, :, second, :, firsts] = kept
        for each in (self._ids, self._dropped):
            _exchange(each, first, second)
        for row in (first, second):
            self._touched[row] = max(self._touched[row], len(self._ids[row]))
            self._drop(row)
            if not self._ids[row]:
                self.forget(row)

    def forget(self, row: int) -> None:
        """Empty the row and give its memory back to the machine."""
        self._ids[row] = []
        self._touched[row] = self._dropped[row] = 0
        for layer in range(self.shape.layers):
            self._give_back(layer, row, self.shape.tokens)

    def _held(self, row: int, window: int) -> slice:
        """Return which tokens of the row a layer with `window` holds."""
        return slice(self._dropped[row] if window else 0, len(self._ids[row]))

    def _drop(self, row: int) -> None:
        """Give back what the layers with a window no longer look at."""
        if self._dropped[row]:
            for layer, window in enumerate(self.shape.windows):
                if window:
                    self._give_back(layer, row, self._dropped[row])

    def _give_back(self, layer: int, row: int, tokens: int) -> None:
        """Give the memory of the row's first `tokens` tokens in `layer` back; they read as zeros afterwards."""
        origin = int(self._values.ctypes.data)
        for part in range(_KEY_AND_VALUE):
            for head in range(self.shape.heads):
                start = int(self._values[layer, part, row, head].ctypes.data) - origin
                # Whole pages only: the rest of a page at either end may belong to a neighbour.
                end = start + tokens * self.shape.head_size * _FLOAT_BYTES
                first, last = -(-start // mmap.PAGESIZE), end // mmap.PAGESIZE
                if first < last:
                    self._memory.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (last - first) * mmap.PAGESIZE)


def _exchange(rows: list[Any], first: int, second: int) -> None:
    rows[first], rows[second] = rows[second], rows[first]
