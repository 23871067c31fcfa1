"""Keeps beside a prepared checkpoint the integers that its source came with, so that nothing rounds them again.

They lie in `kept*.safetensors`: for each matrix its codes and zero points as MatMulNBits packs them, and its scales.
Every file names the digest of the checkpoint whose weights these are: once something has changed the weights (a chat
tuning, say) the checkpoint has another digest, and the integers no longer count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from safetensors import safe_open

from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.checkpoint_card import checkpoint_open
from central.releases.packaging.tensor_shards import SHARD_BYTES, TensorShards
from central.releases.packaging.text_names import EMBEDDING, HEAD

KEPT = "kept"
_DIGEST = "digest"


class KeptWriter:
    """The integers of the checkpoint `digest` while they are written into `folder`; use it as a context manager."""

    def __init__(self, folder: Path, *, digest: str, shard_bytes: int = SHARD_BYTES) -> None:
        """Write nothing yet; without a matrix no file appears."""
        self._shards = TensorShards(folder, KEPT, shard_bytes=shard_bytes)
        self._digest = digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shards.__exit__(kind, error, trace)

    def put(self, name: str, weights: BlockWeights) -> None:
        """Keep `weights` as those of the matrix `name`, such as `model.layers.0.mlp.up_proj.weight`."""
        codes, zero_points = weights.packed()
        arrays = {"codes": codes, "scales": weights.scales}
        if zero_points is not None:
            arrays["zero_points"] = zero_points
        group = {f"{name}.{part}": torch.from_numpy(np.ascontiguousarray(values)) for part, values in arrays.items()}
        self._shards.put(group, metadata={_DIGEST: self._digest, name: f"{weights.bits}/{weights.block}"})


def kept_open(folder: Path) -> Mapping[str, BlockWeights]:
    """Return the integers of the prepared checkpoint in `folder` by name of matrix, each read when it is asked for.

    Empty where the source had none, or where they are those of another digest than the checkpoint's.

    Raises:
        CheckpointMissing: no prepared checkpoint is at `folder`.
    """
    return _KeptWeights(folder, digest=checkpoint_open(folder).digest)


def kept_trim(*, source: Path, into: Path, rows: Sequence[int]) -> None:
    """Leave in the prepared folder `into` the integers of `source`, with only `rows` of its embedding and head.

    `into` is `source` with a trimmed vocabulary; integers that were in it are replaced.
    """
    kept = kept_open(source)
    # They may be hard links to the files of `source`: writing into them would damage those.
    for path in into.glob(f"{KEPT}*.safetensors*"):
        path.unlink()
    with KeptWriter(into, digest=checkpoint_open(into).digest) as writer:
        for name, weights in kept.items():
            writer.put(name, weights.rows(rows) if name in {EMBEDDING, HEAD} else weights)


class _KeptWeights(Mapping[str, BlockWeights]):
    """The matrices of the files in `folder` that name `digest`."""

    def __init__(self, folder: Path, *, digest: str) -> None:
        self._places: dict[str, tuple[Path, str]] = {}
        for path in sorted(folder.glob(f"{KEPT}*.safetensors")):
            with safe_open(path, framework="np") as file:
                metadata = file.metadata() or {}
            if metadata.pop(_DIGEST, None) == digest:
                self._places |= {name: (path, form) for name, form in metadata.items() if name != "format"}

    def __getitem__(self, name: str) -> BlockWeights:
        path, form = self._places[name]
        bits, block = (int(number) for number in form.split("/"))
        with safe_open(path, framework="np") as file:
            parts = {part: file.get_tensor(f"{name}.{part}") for part in ("codes", "scales")}
            zeros = file.get_tensor(f"{name}.zero_points") if f"{name}.zero_points" in file.keys() else None  # noqa: SIM118
        return BlockWeights.unpack(bits=bits, block=block, zero_points=zeros, **parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
