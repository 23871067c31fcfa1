"""Rounds each matrix as far as it can bear: weighs the choices beforehand and makes the rounding of the chosen one.

What a choice costs is predicted from its rounding to the nearest code; the rounding that ships makes up for its own
errors and costs less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from central.releases.packaging.bit_plan import Choice, Plan
from central.releases.packaging.block_weights import BlockWeights
from central.releases.packaging.graph_weights import stored_bytes
from central.releases.packaging.parts import HEAD_PART, RARE_PART, parts_all
from central.releases.packaging.quantise import Rounder, WordOrder, is_kept, kept_part, nearest
from central.releases.packaging.rounding import round_compensated
from central.releases.packaging.sensitivity import Sensitivity
from central.releases.packaging.stored_floats import StoredFloats

_BYTE = 8
_SCALE_BYTES = 4
DRAFT_FORM = (8, 32)
FORMS = (DRAFT_FORM, (8, 128), (4, 32))
# Words stand in the order of what their rows lose in the rare form; those between two of these places are weighed
# together.
HEAD_TIERS = (1024, 2048, 4096, 8192, 12288, 16384, 24576, 32768, 49152, 65536, 98304, 131072)
# Larger blocks than the body's: a head has a third of a small model's weights, and what its scales leave holds more
# words in 8 bits.
_COMMON_FORM, _RARE_FORM = (8, 128), (4, 64)


@dataclass(eq=False)
class MixedRounding:
    """The matrices of the prepared folder `checkpoint`, weighed by `sensitivities`; `kept` came with the checkpoint."""

    checkpoint: Path
    kept: Mapping[str, BlockWeights]
    sensitivities: Mapping[str, Sensitivity]
    _made: dict[tuple[str, int, int], BlockWeights] = field(default_factory=dict)

    @cached_property
    def drafted_bytes(self) -> int:
        """What the matrices take when all are in the draft's form."""
        bits, block = DRAFT_FORM
        sizes = (matrix.size for _, matrix in self._matrices())
        return sum(size * bits // _BYTE + size // block * _SCALE_BYTES for size in sizes)

    @cached_property
    def word_order(self) -> NDArray[np.int64]:
        """The ids of all words, those first whose rows would lose most in the rare form."""
        matrix = next(matrix for part, matrix in self._matrices() if part == HEAD_PART)
        bits, block = _RARE_FORM
        error = nearest(bits=bits, block=block)(RARE_PART, matrix).dequantise() - matrix
        return np.argsort(-self.sensitivities[HEAD_PART].losses(error), kind="stable")

    def words(self, plan: Plan) -> WordOrder:
        """Return the order of words, and how many of them `plan` holds in the common form."""
        common = [end for name, _, end in self._tiers() if plan[name].bits == _BYTE]
        return WordOrder(old_ids=self.word_order, common=max(common, default=0) or self._tiers()[0][2])

    def options(self, progress: Callable[[float], None]) -> dict[str, list[Choice]]:
        """Return every choice for every part, with its bytes and its predicted loss in nats a token."""
        options: dict[str, list[Choice]] = {}
        for done, (part, matrix) in enumerate(self._matrices()):
            progress((done + 1) / len(self.sensitivities))
            if part == HEAD_PART:
                options |= self._head_options(matrix)
                continue
            options[part] = [self._weigh(matrix, bits, block, self.sensitivities[part]) for bits, block in FORMS]
            if is_kept(self.kept, part):
                kept = kept_part(self.kept, part)
                options[part].append(
                    Choice(bits=kept.bits, block=kept.block, size_bytes=_size(kept), loss=0.0, is_kept=True)
                )
        return options

    def rounder(self, plan: Plan) -> Rounder:
        """Return the rounder that rounds each part as `plan` says; what was rounded before is not rounded again."""

        def choose(part: str, matrix: NDArray[np.float32]) -> BlockWeights:
            if part in {HEAD_PART, RARE_PART}:
                return self._round_head(part, matrix)
            choice = plan[part]
            key = (part, choice.bits, choice.block)
            if choice.is_kept:
                return kept_part(self.kept, part)
            if key not in self._made:
                self._made[key] = self._round(part, matrix, choice)
            return self._made[key]

        return choose

    def _round(self, part: str, matrix: NDArray[np.float32], choice: Choice) -> BlockWeights:
        if choice.bits == _BYTE:
            return nearest(bits=choice.bits, block=choice.block)(part, matrix)
        moments = self.sensitivities[part].moments
        return round_compensated(matrix, moments=moments, bits=choice.bits, block=choice.block)

    def _round_head(self, part: str, matrix: NDArray[np.float32]) -> BlockWeights:
        if part == HEAD_PART:
            bits, block = _COMMON_FORM
            return nearest(bits=bits, block=block)(part, matrix)
        bits, block = _RARE_FORM
        moments = self.sensitivities[HEAD_PART].moments
        return round_compensated(matrix, moments=moments, bits=bits, block=block)

    def _head_options(self, matrix: NDArray[np.float32]) -> dict[str, list[Choice]]:
        whole = self.sensitivities[HEAD_PART]
        options = {}
        for name, start, end in self._tiers():
            rows = self.word_order[start:end]
            own = whole.rows(rows)
            options[name] = [self._weigh(matrix[rows], bits, block, own) for bits, block in (_COMMON_FORM, _RARE_FORM)]
        return options

    def _tiers(self) -> list[tuple[str, int, int]]:
        """Return name, first and last place of the groups of words in their order."""
        words = len(self.word_order)
        ends = [*(end for end in HEAD_TIERS if end < words), words]
        starts = [0, *ends[:-1]]
        return [
            (f"{HEAD_PART}.{number}", start, end) for number, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]

    def _weigh(self, matrix: NDArray[np.float32], bits: int, block: int, sensitivity: Sensitivity) -> Choice:
        rounded = nearest(bits=bits, block=block)("", matrix)
        error = rounded.dequantise() - matrix
        return Choice(
            bits=rounded.bits,
            block=rounded.block,
            size_bytes=_size(rounded),
            loss=float(sensitivity.losses(error).sum()),
        )

    def _matrices(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        stored = StoredFloats(self.checkpoint)
        for part in parts_all(stored):
            yield part, stored.matrix(part)


def _size(weights: BlockWeights) -> int:
    codes, zero_points = weights.packed()
    size_bytes = stored_bytes(codes) + stored_bytes(weights.scales)
    return size_bytes if zero_points is None else size_bytes + stored_bytes(zero_points)
