"""Copies a checkpoint's floats with fewer rows of the embedding and the head, whatever their size and number type.

A file is written piece by piece from the bytes of the old one, so that a model of 27 billion weights needs no more
memory than one of 270 million. A file without such rows is hard-linked where the disk allows it.

Source: the safetensors format: eight bytes of header length, a JSON header, the tensors' bytes without gaps.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from central.releases.packaging.errors import CheckpointIncomplete
from central.releases.packaging.text_names import EMBEDDING, HEAD

_METADATA = "__metadata__"
_PIECE_BYTES = 16 * 2**20
_ALIGNMENT_BYTES = 8


@dataclass(frozen=True)
class _Shard:
    """A file of weights: `tensors` as its header describes them, in the order of their bytes from `start` on."""

    path: Path
    tensors: dict[str, dict[str, Any]]
    metadata: dict[str, str]
    start: int

    @property
    def has_rows(self) -> bool:
        """Whether a row of a tensor in it stands for a token."""
        return not {EMBEDDING, HEAD}.isdisjoint(self.tensors)


def embedding_rows(folder: Path) -> int:
    """Return for how many tokens the checkpoint in `folder` has a row.

    Raises:
        CheckpointIncomplete: no file of weights there holds the embedding.
    """
    for shard in _shards(folder):
        if EMBEDDING in shard.tensors:
            return int(shard.tensors[EMBEDDING]["shape"][0])
    raise CheckpointIncomplete(source=str(folder), missing=EMBEDDING)


def weights_trim(*, folder: Path, into: Path, rows: Sequence[int], progress: Callable[[float], None]) -> int:
    """Leave the floats of `folder` in `into` with `rows` (ascending) of embedding and head; return the bytes saved."""
    shards = list(_shards(folder))
    whole = sum(shard.path.stat().st_size for shard in shards)
    done = saved_bytes = saved_weights = 0
    for shard in shards:
        target = into / shard.path.name
        if shard.has_rows:
            header = _header(shard, len(rows))
            _write(shard, header, np.asarray(rows), target)
            saved_bytes += _size_bytes(shard.tensors) - _size_bytes(header)
            saved_weights += _weights(shard.tensors) - _weights(header)
        else:
            _link(shard.path, target)
        done += shard.path.stat().st_size
        progress(done / whole)
    for index in folder.glob("model*.safetensors.index.json"):
        _index_trim(index, into / index.name, saved_bytes=saved_bytes, saved_weights=saved_weights)
    return saved_bytes


def _shards(folder: Path) -> Iterator[_Shard]:
    for path in sorted(folder.glob("model*.safetensors")):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(_ALIGNMENT_BYTES), "little")
            header = json.loads(stream.read(length))
        metadata = header.pop(_METADATA, {})
        tensors = dict(sorted(header.items(), key=lambda entry: entry[1]["data_offsets"]))
        yield _Shard(path=path, tensors=tensors, metadata=metadata, start=_ALIGNMENT_BYTES + length)


def _header(shard: _Shard, rows: int) -> dict[str, dict[str, Any]]:
    """Return the tensors of `shard` as they are described once embedding and head have `rows` rows."""
    header: dict[str, dict[str, Any]] = {}
    position = 0
    for name, tensor in shard.tensors.items():
        start, end = tensor["data_offsets"]
        shape, length = tensor["shape"], end - start
        if name in {EMBEDDING, HEAD}:
            length = length // shape[0] * rows
            shape = [rows, *shape[1:]]
        header[name] = {"dtype": tensor["dtype"], "shape": shape, "data_offsets": [position, position + length]}
        position += length
    return header


def _write(shard: _Shard, header: dict[str, dict[str, Any]], rows: NDArray[np.intp], target: Path) -> None:
    text = json.dumps({_METADATA: shard.metadata, **header} if shard.metadata else header).encode()
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    with shard.path.open("rb") as source, target.open("wb") as stream:
        stream.write(len(text).to_bytes(_ALIGNMENT_BYTES, "little") + text)
        for name, tensor in shard.tensors.items():
            start, end = tensor["data_offsets"]
            source.seek(shard.start + start)
            if name in {EMBEDDING, HEAD}:
                _rows_copy(source, stream, rows, row_bytes=(end - start) // tensor["shape"][0])
            else:
                _bytes_copy(source, stream, end - start)


def _bytes_copy(source: BinaryIO, stream: BinaryIO, length: int) -> None:
    while length > 0:
        length -= stream.write(source.read(min(length, _PIECE_BYTES)))


def _rows_copy(source: BinaryIO, stream: BinaryIO, rows: NDArray[np.intp], *, row_bytes: int) -> None:
    """Copy `rows` of the table that begins where `source` stands; the last one ends the reading."""
    rows_at_once = max(1, _PIECE_BYTES // row_bytes)
    for first in range(0, int(rows[-1]) + 1, rows_at_once):
        piece = np.frombuffer(source.read(rows_at_once * row_bytes), np.uint8)
        # The last piece may end in the bytes of the next tensor, perhaps in the middle of a row.
        table = piece[: len(piece) // row_bytes * row_bytes].reshape(-1, row_bytes)
        wanted = rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + rows_at_once)]
        stream.write(table[wanted - first].tobytes())


def _index_trim(index: Path, target: Path, *, saved_bytes: int, saved_weights: int) -> None:
    """Write the list of shards anew with the sizes that are true now."""
    document = json.loads(index.read_text("utf-8"))
    metadata = document.get("metadata", {})
    for name, saved in (("total_size", saved_bytes), ("total_parameters", saved_weights)):
        if name in metadata:
            metadata[name] -= saved
    target.write_text(json.dumps(document, indent=2) + "\n", "utf-8")


def _link(path: Path, target: Path) -> None:
    try:
        os.link(path, target)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(path, target)


def _size_bytes(tensors: dict[str, dict[str, Any]]) -> int:
    return sum(tensor["data_offsets"][1] - tensor["data_offsets"][0] for tensor in tensors.values())


def _weights(tensors: dict[str, dict[str, Any]]) -> int:
    return sum(prod(tensor["shape"]) for tensor in tensors.values())
