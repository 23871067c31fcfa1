"""Turns the float32 graph into one with small integer weights, the embedding and the head sharing one copy.

How each matrix is rounded is the caller's: a Rounder. The bytes of the embedding stand once in the file: the head reads
them as MatMulNBits blocks, the embedding as rows. Where a WordOrder says so, words that come less often have another
form than the common ones; both parts of the head then stand in the order of the new ids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from central.releases.packaging.block_weights import BlockWeights, concatenate
from central.releases.packaging.embedding import embedding_share
from central.releases.packaging.errors import GraphUnexpected
from central.releases.packaging.graph_rewrite import graph_rewrite
from central.releases.packaging.graph_weights import WeightFile
from central.releases.packaging.parts import HEAD_PART, RARE_NODE, RARE_PART, part_of, part_sources
from central.releases.packaging.rounding import round_nearest

_INT8_ACTIVATIONS = 4


class Rounder(Protocol):
    """Rounds one matrix."""

    def __call__(self, part: str, matrix: NDArray[np.float32]) -> BlockWeights:
        """Return the matrix (out, in) of `part` (`layers.3.qkv`, `head`) in blocks."""


@dataclass(frozen=True, eq=False)
class WordOrder:
    """New ids for words: new id i was `old_ids[i]`, and those below `common` are held in the form of `head`."""

    old_ids: NDArray[np.int64]
    common: int


def nearest(*, bits: int, block: int) -> Rounder:
    """Return a rounder that rounds every matrix alike, to the nearest code."""
    return lambda _part, matrix: round_nearest(matrix, bits=bits, block=_fitting(block, matrix.shape[1]))


def kept_first(kept: Mapping[str, BlockWeights], rounder: Rounder) -> Rounder:
    """Return a rounder that takes the integers `kept` by the checkpoint where it has them, and `rounder` elsewhere."""

    def choose(part: str, matrix: NDArray[np.float32]) -> BlockWeights:
        return kept_part(kept, part) if is_kept(kept, part) else rounder(part, matrix)

    return choose


def is_kept(kept: Mapping[str, BlockWeights], part: str) -> bool:
    """Tell whether the checkpoint came with integers for all of `part`."""
    return all(name in kept for name in part_sources(part))


def kept_part(kept: Mapping[str, BlockWeights], part: str) -> BlockWeights:
    """Return the integers that the checkpoint came with for all of `part`; `is_kept` has said that it did."""
    return concatenate([kept[name] for name in part_sources(part)])


def graph_quantise(
    *,
    source: Path,
    floats: Path,
    into: Path,
    rounder: Rounder,
    progress: Callable[[float], None],
    words: WordOrder | None = None,
) -> onnx.ModelProto:
    """Write the rounded weights of the graph in `source` to `into` and return the graph that reads them, not yet saved.

    `floats` is the prepared checkpoint that the graph was exported from. With `words` its ids are the new ones.

    Raises:
        GraphUnexpected: the graph is not the one that the builder makes for Gemma 3 with a shared embedding.
    """

    def hold(
        graph: onnx.GraphProto, node: NodeProto, matrix: NDArray[np.float32], weights: WeightFile
    ) -> list[TensorProto]:
        part = part_of(node.name)
        if part == HEAD_PART:
            return _quantise_head(graph, node, matrix, weights, rounder, words)
        rounded = rounder(part, matrix)
        stored = _store(weights, node.input[1], rounded)
        _become_quantised(node, stored, rounded)
        return stored

    return graph_rewrite(source=source, floats=floats, into=into, holder=hold, progress=progress)


def _fitting(block: int, inputs: int) -> int:
    """Return `block`, or the largest smaller one that divides the inputs.

    Raises:
        GraphUnexpected: not even blocks of 16 do.
    """
    while inputs % block:
        block //= 2
        if block < 16:  # noqa: PLR2004 - MatMulNBits' smallest
            raise GraphUnexpected(expected="a multiple of 16 inputs", found=inputs)
    return block


def _store(weights: WeightFile, name: str, rounded: BlockWeights) -> list[TensorProto]:
    codes, zero_points = rounded.packed()
    stored = [weights.put(f"{name}.q{rounded.bits}", codes), weights.put(f"{name}.scales", rounded.scales)]
    return stored if zero_points is None else [*stored, weights.put(f"{name}.zeros", zero_points)]


def _become_quantised(node: NodeProto, stored: list[TensorProto], rounded: BlockWeights) -> None:
    node.op_type, node.domain = "MatMulNBits", "com.microsoft"
    del node.input[1:]
    node.input.extend(tensor.name for tensor in stored)
    outputs, inputs = rounded.shape
    settings: dict[str, Any] = {
        "K": inputs,
        "N": outputs,
        "bits": rounded.bits,
        "block_size": rounded.block,
        "accuracy_level": _INT8_ACTIVATIONS,
    }
    node.attribute.extend(helper.make_attribute(key, value) for key, value in settings.items())


def _quantise_head(
    graph: onnx.GraphProto,
    node: NodeProto,
    matrix: NDArray[np.float32],
    weights: WeightFile,
    rounder: Rounder,
    words: WordOrder | None,
) -> list[TensorProto]:
    """Quantise the head, in two parts where `words` says so, let the embedding share it, and return its tensors."""
    if words is not None:
        matrix = matrix[words.old_ids]
    if words is None or words.common == len(matrix):
        common = rounder(HEAD_PART, matrix)
        stored = _store(weights, "head", common)
        _become_quantised(node, stored, common)
        return [*stored, *embedding_share(graph, [(stored, common)])]
    common, rare = rounder(HEAD_PART, matrix[: words.common]), rounder(RARE_PART, matrix[words.common :])
    stored, stored_rare = _store(weights, "head", common), _store(weights, "head.rare", rare)
    second = NodeProto(name=RARE_NODE, input=list(node.input), output=["head.rare.logits"])
    _become_quantised(node, stored, common)
    _become_quantised(second, stored_rare, rare)
    both = helper.make_node("Concat", ["head.logits", "head.rare.logits"], ["logits"], name="/lm_head/Concat", axis=-1)
    node.output[0] = "head.logits"
    place = list(graph.node).index(node) + 1
    graph.node.insert(place, second)
    graph.node.insert(place + 1, both)
    return [*stored, *stored_rare, *embedding_share(graph, [(stored, common), (stored_rare, rare)])]
