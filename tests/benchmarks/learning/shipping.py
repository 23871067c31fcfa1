"""The adapter as schools get it: rounded to the numbers of its file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from federation.adapter_file import adapter_read, adapter_write
from federation.basis import AdapterFactors
from federation.wire.rounds import RoundPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """An adapter after its journey."""

    factors: AdapterFactors
    size_bytes: int


def adapter_ship(plan: RoundPlan, factors: AdapterFactors) -> Shipped:
    """Return `factors` as a school of the plan's season reads them out of the release's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter"
        adapter_write(path, base_digest=plan.base, seed=plan.seed, rank=adapter_rank(factors), b=factors.b, a=factors.a)
        read = adapter_read(path, base_digest=plan.base)
        return Shipped(factors=read.factors, size_bytes=path.stat().st_size)


def adapter_rank(factors: AdapterFactors) -> int:
    """Return the rank of `factors`, the same in every slot."""
    return len(next(iter(factors.b.values())))
