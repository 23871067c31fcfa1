"""Rounds each matrix as far as it can bear: weighs the choices beforehand and makes the rounding of the chosen one.

What a choice costs is predicted from its rounding to the nearest code; the rounding that ships makes up for its own
errors and costs less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from central.releases.packaging.bit_plan import Choice, Plan
from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.graph_weights import stored_bytes, weight_read
from central.releases.packaging.parts import HEAD_PART, part_of
from central.releases.packaging.quantise import GRAPH, Rounder, kept_part, nearest
from central.releases.packaging.rounding import round_compensated
from central.releases.packaging.sensitivity import Sensitivity

_BYTE = 8
DRAFT_FORM = (8, 32)
FORMS = (DRAFT_FORM, (8, 128), (4, 32))
# The embedding is read without a matrix product, so its errors are not weighed; eight bits keep it as it is.
_HEAD_FORMS = (DRAFT_FORM, (8, 128))


@dataclass(frozen=True, eq=False)
class MixedRounding:
    """The matrices of the float graph in `exported`, weighed by `sensitivities`; `kept` came with the checkpoint."""

    exported: Path
    kept: Mapping[str, BlockWeights]
    sensitivities: Mapping[str, Sensitivity]
    _made: dict[tuple[str, int, int], BlockWeights] = field(default_factory=dict)

    def options(self, progress: Callable[[float], None]) -> dict[str, list[Choice]]:
        """Return every choice for every part, with its bytes and its predicted loss in nats a token."""
        options = {}
        for done, (part, matrix) in enumerate(self._matrices()):
            forms = _HEAD_FORMS if part == HEAD_PART else FORMS
            kept = kept_part(self.kept, part)
            options[part] = [self._weigh(part, matrix, bits, block) for bits, block in forms]
            if kept is not None:
                options[part].append(
                    Choice(bits=kept.bits, block=kept.block, size_bytes=_size(kept), loss=0.0, is_kept=True)
                )
            progress((done + 1) / len(self.sensitivities))
        return options

    def rounder(self, plan: Plan) -> Rounder:
        """Return the rounder that rounds each part as `plan` says; what was rounded before is not rounded again."""

        def choose(part: str, matrix: NDArray[np.float32]) -> BlockWeights:
            choice = plan[part]
            key = (part, choice.bits, choice.block)
            if choice.is_kept:
                return kept_part(self.kept, part) or self._round(part, matrix, choice)
            if key not in self._made:
                self._made[key] = self._round(part, matrix, choice)
            return self._made[key]

        return choose

    def _round(self, part: str, matrix: NDArray[np.float32], choice: Choice) -> BlockWeights:
        if choice.bits == _BYTE:
            return nearest(bits=choice.bits, block=choice.block)(part, matrix)
        moments = self.sensitivities[part].moments
        return round_compensated(matrix, moments=moments, bits=choice.bits, block=choice.block)

    def _weigh(self, part: str, matrix: NDArray[np.float32], bits: int, block: int) -> Choice:
        rounded = nearest(bits=bits, block=block)(part, matrix)
        error = rounded.dequantise() - matrix
        return Choice(
            bits=rounded.bits, block=rounded.block, size_bytes=_size(rounded), loss=self.sensitivities[part].loss(error)
        )

    def _matrices(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        model = onnx.load(self.exported / GRAPH, load_external_data=False)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "MatMul" and part_of(node.name):
                values = weight_read(tensors[node.input[1]], folder=self.exported)
                yield part_of(node.name), np.ascontiguousarray(values.T)


def _size(weights: BlockWeights) -> int:
    codes, zero_points = weights.packed()
    arrays = [codes, weights.scales] if zero_points is None else [codes, weights.scales, zero_points]
    return sum(stored_bytes(array) for array in arrays)
