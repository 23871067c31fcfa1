"""The server's step: how far the season's adapter moves along what a round's schools have learnt."""

from __future__ import annotations

from dataclasses import dataclass

from federation.basis import AdapterFactors
from federation.learning.schemes.contribution import Delta
from federation.learning.schemes.scheme import Scheme, Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a round leads: the adapter, and the velocity that the next round starts with if this one is adopted."""

    adapter: AdapterFactors
    velocity: Delta


def server_step(
    *,
    scheme: Scheme,
    terms: Terms,
    start: AdapterFactors | None,
    velocity: Delta | None,
    delta: Delta,
    size: float,
    decay: float,
) -> Step:
    """Return `start` + `size` × v, v = `decay` × `velocity` + `delta`; a first round has no velocity.

    FFA-LoRA, Fed-SB and FedIT move the arrays that schools learn: for the first two that is the same as moving the
    products, and FedIT is a rule about factors. FLoRA moves products, because its factors mean nothing one by one.

    Source: Hsu et al. 2019, "Measuring the effects of non-identical data distribution" (FedAvgM).
    """
    moved = delta if velocity is None else scheme.momentum(terms, velocity, delta, decay)
    return Step(adapter=scheme.step(terms, start, moved, size), velocity=moved)
