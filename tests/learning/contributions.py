"""Schools' contributions under small terms, and what an adapter of any scheme does to a slot."""

import numpy as np

from federation.basis import AdapterFactors, SlotSize, frozen_a, frozen_b
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution
from federation.learning.schemes.scheme import Terms
from federation.wire.rounds import Factor, SchemeName

RANK = 4
SIZES = {"layers.0.qkv": SlotSize(20, 48), "layers.0.down": SlotSize(60, 50)}
TERMS = Terms(seed="autumn", rank=RANK, sizes=SIZES)


def inner(number: int, slot: str) -> np.ndarray:
    """A school's z = x A, scaled so that its Gram matrix has trace rank."""
    z = np.random.default_rng([number, len(slot)]).normal(size=(7, RANK))
    return z * np.sqrt(RANK / np.sum(z**2))


def gram_of(z: np.ndarray) -> np.ndarray:
    return (z.T @ z).astype(np.float32)


def contribution(
    scheme: SchemeName, number: int, *, scale: float = 0.1, labels: int = 1, staleness: int = 0
) -> Contribution:
    rng = np.random.default_rng(number)
    arrays = {}
    for shape in scheme_of(scheme).shapes_under(TERMS):
        learnt = rng.normal(0, scale, (shape.rows, shape.columns)).astype(np.float32)
        gram = gram_of(inner(number, shape.slot))
        arrays[shape.slot, shape.factor] = gram if shape.factor is Factor.GRAM else learnt
    return Contribution(node_id=f"school-{number}", labels=labels, staleness=staleness, arrays=arrays)


def frozen(slot: str) -> tuple[np.ndarray, np.ndarray]:
    size = SIZES[slot]
    a = frozen_a(seed=TERMS.seed, slot=slot, d_in=size.d_in, rank=RANK)
    return a.astype(np.float64), frozen_b(seed=TERMS.seed, slot=slot, rank=RANK, d_out=size.d_out).astype(np.float64)


def start_of(scheme: SchemeName, number: int = 99) -> AdapterFactors:
    """An adapter as an earlier round of the season has left it."""
    rng = np.random.default_rng(number)
    b = {slot: rng.normal(0, 0.3, (RANK, size.d_out)).astype(np.float32) for slot, size in SIZES.items()}
    if scheme in (SchemeName.FFA_LORA, SchemeName.FED_SB):
        return AdapterFactors(a=None, b=b)
    a = {slot: rng.normal(0, 0.3, (size.d_in, RANK)).astype(np.float32) for slot, size in SIZES.items()}
    return AdapterFactors(a=a, b=b)


def product(adapter: AdapterFactors | None, slot: str) -> np.ndarray:
    """What `adapter` adds to the slot's weights, A B; the base alone adds nothing."""
    if adapter is None:
        return np.zeros((SIZES[slot].d_in, SIZES[slot].d_out))
    a = frozen(slot)[0] if adapter.a is None else adapter.a[slot].astype(np.float64)
    return a @ adapter.b[slot].astype(np.float64)


def own_product(scheme: SchemeName, school: Contribution, slot: str, start: AdapterFactors | None = None) -> np.ndarray:
    """What the school itself has ended at: its slot's A B after training from `start`."""
    a, b = frozen(slot)
    moved = {factor: array.astype(np.float64) for (name, factor), array in school.arrays.items() if name == slot}
    if scheme is SchemeName.FFA_LORA:
        return product(start, slot) + a @ moved[Factor.B]
    if scheme is SchemeName.FED_SB:
        return product(start, slot) + a @ moved[Factor.CORE] @ b
    if scheme is SchemeName.FLORA:
        return product(start, slot) + (a + moved[Factor.A]) @ moved[Factor.B]
    held_a = a if start is None else start.a[slot]
    held_b = 0.0 if start is None else start.b[slot]
    return (held_a + moved[Factor.A]) @ (held_b + moved[Factor.B])
