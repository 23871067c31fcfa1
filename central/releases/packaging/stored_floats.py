"""The floats of a prepared checkpoint, each mapped from its file when it is asked for: none stays in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from central.releases.packaging.parts import part_sources


class StoredFloats(Mapping[str, torch.Tensor]):
    """The tensors by name, in the type that they are stored in."""

    def __init__(self, folder: Path) -> None:
        """Read the headers of the files in the prepared folder only."""
        self._places: dict[str, Path] = {}
        self._sizes: dict[str, int] = {}
        for path in sorted(folder.glob("model*.safetensors")):
            with safe_open(path, framework="pt") as file:
                self._places |= dict.fromkeys(file.keys(), path)
                self._sizes |= {name: prod(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    def __getitem__(self, name: str) -> torch.Tensor:
        with safe_open(self._places[name], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def matrix(self, part: str) -> NDArray[np.float32]:
        """Return the matrix (out, in) of the graph's `part`, such as `layers.3.qkv` or `head`."""
        first, *others = (self[name].float() for name in part_sources(part))
        # Joining copies, and the head alone takes gigabytes.
        return (torch.cat([first, *others]) if others else first).numpy()

    @property
    def weights(self) -> int:
        """How many numbers there are in all."""
        return sum(self._sizes.values())
