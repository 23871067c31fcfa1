"""Say where the tensors lie in a release's files of weights, so that an unchanged one is cut into the same chunks."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto


def tensors_place(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return for each file that the ONNX graphs in `folder` keep weights in where its tensors begin, but for byte 0."""
    starts: dict[str, set[int]] = {}
    for path in sorted(folder.glob("*.onnx")):
        for tensor in onnx.load(path, load_external_data=False).graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                starts.setdefault(place["location"], set()).add(int(place.get("offset", 0)))
    return {name: tuple(sorted(found - {0})) for name, found in starts.items()}
