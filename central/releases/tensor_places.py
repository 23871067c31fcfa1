"""Say where a release's files are to be cut, so that what has not changed is the same chunks: at tensors, at parts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from federation.wire.contributions import LIST_NAME, part_starts


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
    """Return where tensors, or the parts of a list of updates, begin, but for the first byte, as FileEntry says it."""
    places = {name: tuple(sorted(starts.keys() - {0})) for name, starts in tensors_named(folder).items()}
    updates = folder / LIST_NAME
    return places | ({LIST_NAME: part_starts(updates.read_bytes())} if updates.exists() else {})
