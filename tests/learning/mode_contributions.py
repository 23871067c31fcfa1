"""Made-up updates of schools that learnt something in common and something each of its own."""

import weakref
from collections.abc import Iterator, Mapping

import numpy as np

from federation.basis import SlotSize
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution
from federation.learning.schemes.scheme import Accumulator, Fusion, Terms
from federation.wire.rounds import Factor, SchemeName

RANK = 4
SIZES = {"layers.0.qkv": SlotSize(16, 12), "layers.0.down": SlotSize(16, 6)}
COMMON = {slot: np.random.default_rng([7, len(slot)]).normal(size=(RANK, size.d_out)) for slot, size in SIZES.items()}


def terms(*, fusion: Fusion = Fusion.MEAN) -> Terms:
    return Terms(seed="autumn", rank=RANK, sizes=SIZES, fusion=fusion)


def shapes(*, fusion: Fusion = Fusion.MEAN):
    return scheme_of(SchemeName.FFA_LORA).shapes_under(terms(fusion=fusion))


def accumulator(*, fusion: Fusion = Fusion.MEAN) -> Accumulator:
    return scheme_of(SchemeName.FFA_LORA).accumulator(terms(fusion=fusion))


def school(
    number: int, *, labels: int = 4, staleness: int = 0, spread: float = 1.0, factor: float = 1.0
) -> Contribution:
    """An FFA-LoRA update of norm 0.12 · factor: what all learn, plus `spread` of the school's own, times `factor`."""
    rng = np.random.default_rng(number)
    arrays = {}
    for slot, common in COMMON.items():
        own = rng.normal(size=common.shape)
        arrays[slot, Factor.B] = (factor * 0.01 * (common + spread * own)).astype(np.float32)
        arrays[slot, Factor.GRAM] = np.eye(RANK, dtype=np.float32)
    return Contribution(node_id=f"node-{number:03}", labels=labels, staleness=staleness, arrays=arrays)


def constant(node_id: str, value: float, *, labels: int = 4, staleness: int = 0) -> Contribution:
    arrays = {(slot, Factor.B): np.full((RANK, size.d_out), value, np.float32) for slot, size in SIZES.items()}
    arrays |= {(slot, Factor.GRAM): np.eye(RANK, dtype=np.float32) for slot in SIZES}
    return Contribution(node_id=node_id, labels=labels, staleness=staleness, arrays=arrays)


def contribution_of(node_id: str, vector: np.ndarray) -> Contribution:
    """The update whose B, laid end to end as `flat` does, is `vector`."""
    arrays, start = dict(constant(node_id, 0.0).arrays), 0
    for slot, size in SIZES.items():
        end = start + RANK * size.d_out
        arrays[slot, Factor.B] = vector[start:end].reshape(RANK, size.d_out).astype(np.float32)
        start = end
    return Contribution(node_id=node_id, labels=4, staleness=0, arrays=arrays)


def flat(arrays) -> np.ndarray:
    return np.concatenate([np.asarray(arrays[slot, Factor.B], dtype=np.float64).ravel() for slot in SIZES])


class ArraysOnDisk(Mapping):
    """Arrays that are made anew at every look, as if read from the disk; counts how many are held at once."""

    held: weakref.WeakSet = weakref.WeakSet()
    most = 0

    def __init__(self, arrays) -> None:
        self._arrays = arrays

    def __getitem__(self, name):
        array = self._arrays[name].copy().view(Watched)
        ArraysOnDisk.held.add(array)
        ArraysOnDisk.most = max(ArraysOnDisk.most, len(ArraysOnDisk.held))
        return array

    def __iter__(self) -> Iterator:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class Watched(np.ndarray):
    """An array that weak references can point at by identity."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other
