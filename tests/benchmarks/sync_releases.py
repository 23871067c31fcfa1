"""The releases of `make bench-sync`: packages whose bytes change from one to the next as the stand-in's do.

Of the stand-in's INT8 package a further chat tuning leaves the head alone, moves a quarter of the bytes of the other
weights by one or two, and gives over half of their scales another last byte or two (decision 0029).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from central.releases.packaging.graph_weights import WeightFile

LAYERS, HEAD_BYTES, WEIGHT_BYTES, SCALES = 16, 12_000_000, 1_100_000, 34_000
ADAPTER_BYTES = 700_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's codes and their scales."""

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]


def layers_make(rng: np.random.Generator) -> list[Layer]:
    """Return layers of codes as rounding to 8 bits leaves them."""
    codes = [_gaussian(rng, WEIGHT_BYTES) for _ in range(LAYERS)]
    return [Layer(code, rng.normal(0.01, 0.003, SCALES).astype(np.float32)) for code in codes]


def layers_tune(layers: list[Layer], rng: np.random.Generator) -> list[Layer]:
    """Return the layers after a further tuning."""
    tuned = []
    for layer in layers:
        steps = rng.choice(
            np.array([0, 1, 255, 2, 254], np.uint8), layer.codes.size, p=[0.754, 0.11, 0.11, 0.013, 0.013]
        )
        moved = layer.scales * (1 + rng.normal(0, 2e-4, SCALES) * (rng.random(SCALES) < 0.75))
        tuned.append(Layer(layer.codes + steps, moved.astype(np.float32)))
    return tuned


def head_make(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the rows of the words."""
    return _gaussian(rng, HEAD_BYTES)


def package_write(folder: Path, head: NDArray[np.uint8], layers: list[Layer]) -> Path:
    """Return `folder`, which now holds a package of these weights."""
    folder.mkdir(parents=True)
    with WeightFile(folder / "model.onnx.data") as file:
        tensors = [file.put(name, values) for name, values in _named(head, layers)]
    graph = helper.make_graph([], "g", [], [], initializer=tensors)
    onnx.save(helper.make_model(graph), folder / "model.onnx")
    (folder / "card.json").write_text("{}")
    return folder


def adapter_write(folder: Path, rng: np.random.Generator) -> Path:
    """Return `folder`, which now holds an adapter."""
    folder.mkdir(parents=True)
    (folder / "adapter.bin").write_bytes(rng.bytes(ADAPTER_BYTES))
    return folder


def _gaussian(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    return np.clip(np.round(rng.normal(128, 36, size)), 0, 255).astype(np.uint8)


def _named(head: NDArray[np.uint8], layers: list[Layer]) -> Iterator[tuple[str, NDArray[np.generic]]]:
    yield "head", head
    for number, layer in enumerate(layers):
        yield f"{number}.codes", layer.codes
        yield f"{number}.scales", layer.scales
