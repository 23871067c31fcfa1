"""Say where the tensors lie in a release's files of weights, so that an unchanged one is cut into the same chunks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto


def tensors_named(folder: Path) -> dict[str, dict[int, str]]:
    """Return for each file that the ONNX graphs in `folder` keep weights in the tensors by where they begin."""
    names: dict[str, dict[int, str]] = {}
    for path in sorted(folder.glob("*.onnx")):
        for tensor in _initializers(path):
            if tensor.data_location == TensorProto.EXTERNAL:
                place = {entry.key: entry.value for entry in tensor.external_data}
                names.setdefault(place["location"], {}).setdefault(int(place.get("offset", 0)), tensor.name)
    return names


def _initializers(graph: Path) -> Iterable[TensorProto]:
    try:
        return onnx.load(graph, load_external_data=False).graph.initializer
    except DecodeError:
        # What is no graph is for the gate to refuse; until then it is a file like others.
        return ()


def tensors_place(folder: Path) -> dict[str, tuple[int, ...]]:
    """Return where the tensors in each file of weights begin, but for the first byte, as FileEntry says it."""
    return {name: tuple(sorted(starts.keys() - {0})) for name, starts in tensors_named(folder).items()}
