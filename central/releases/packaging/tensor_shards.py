"""Writes tensors into safetensors files of bounded size, so that no more than one file's worth is ever in memory.

One file is `<stem>.safetensors`; several are numbered and listed in `<stem>.safetensors.index.json`, as transformers
has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from safetensors.torch import save_file

SHARD_BYTES = 2**30


class TensorShards:
    """The files `<stem>*.safetensors` of a folder while they are written; use it as a context manager.

    The files get their names at the end; after an error they are left unnamed, in a folder that the caller throws away.
    """

    def __init__(self, folder: Path, stem: str, *, shard_bytes: int = SHARD_BYTES) -> None:
        """Write into `folder`; a file holds at most `shard_bytes`, unless a single group is larger."""
        self._folder, self._stem, self._shard_bytes = folder, stem, shard_bytes
        self._pending: dict[str, torch.Tensor] = {}
        self._metadata: dict[str, str] = {}
        self._written: list[tuple[Path, list[str]]] = []
        self._size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._finish()

    def put(self, group: Mapping[str, torch.Tensor], *, metadata: Mapping[str, str] | None = None) -> None:
        """Add the tensors of `group`, together in one file, and the file's own `metadata` about them."""
        size = sum(tensor.nbytes for tensor in group.values())
        pending = sum(tensor.nbytes for tensor in self._pending.values())
        if self._pending and pending + size > self._shard_bytes:
            self._flush()
        self._pending |= {name: tensor.contiguous() for name, tensor in group.items()}
        self._metadata |= metadata or {}
        self._size_bytes += size

    def _flush(self) -> None:
        path = self._folder / f".{self._stem}-{len(self._written)}"
        # Transformers refuses a file that does not say which library's tensors it holds.
        save_file(self._pending, path, metadata={"format": "pt", **self._metadata})
        self._written.append((path, list(self._pending)))
        self._pending, self._metadata = {}, {}

    def _finish(self) -> None:
        if self._pending:
            self._flush()
        count = len(self._written)
        places: dict[str, str] = {}
        for number, (path, names) in enumerate(self._written, start=1):
            part = "" if count == 1 else f"-{number:05d}-of-{count:05d}"
            target = path.rename(self._folder / f"{self._stem}{part}.safetensors")
            places |= dict.fromkeys(names, target.name)
        if count > 1:
            index = {"metadata": {"total_size": self._size_bytes}, "weight_map": places}
            (self._folder / f"{self._stem}.safetensors.index.json").write_text(json.dumps(index, indent=2), "utf-8")
