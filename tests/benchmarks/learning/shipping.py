"""How many bytes an adapter is when it goes out to schools."""

from __future__ import annotations

import tempfile
from pathlib import Path

from federation.basis import AdapterFactors
from federation.inference.adapter import adapter_write
from federation.wire.rounds import RoundPlan


def shipped_bytes(plan: RoundPlan, adapter: AdapterFactors) -> int:
    """Return the size of the adapter's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter"
        adapter_write(path, base_digest=plan.base, seed=plan.seed, rank=plan.rank, b=adapter.b)
        return path.stat().st_size
