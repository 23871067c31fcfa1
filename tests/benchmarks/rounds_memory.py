"""Adds up so many updates of the size of the 270M's, as a round does, and prints the process's peak of memory."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator

import numpy as np

from federation.basis import SlotSize
from federation.learning.aggregate import aggregate
from federation.learning.schemes.catalogue import scheme_of
from federation.learning.schemes.contribution import Contribution
from federation.learning.schemes.scheme import Fusion, Terms
from federation.wire.rounds import Factor, SchemeName

RANK = 256
SIZES = {f"layers.{layer}.down": SlotSize(2048, 640) for layer in range(12, 18)}
"""What a new season learns of it: the uppermost third of its layers, in so many directions."""


def main() -> None:
    """Print `{"peak_bytes": …}`."""
    terms = Terms(seed="memory", rank=RANK, sizes=SIZES, fusion=Fusion.LEAST_SQUARES)
    scheme = scheme_of(SchemeName.FFA_LORA)
    aggregate(_contributions(int(sys.argv[1])), scheme=scheme, terms=terms, max_norm=4.0, max_labels=64)
    sys.stdout.write(json.dumps({"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def _contributions(count: int) -> Iterator[Contribution]:
    rng = np.random.default_rng(7)
    even = np.eye(RANK, dtype=np.float32)
    for number in range(count):
        arrays = {(slot, Factor.B): rng.standard_normal((RANK, size.d_out), np.float32) for slot, size in SIZES.items()}
        grams = {(slot, Factor.GRAM): even for slot in SIZES}
        yield Contribution(node_id=str(number), labels=1 + number % 64, staleness=number % 3, arrays=arrays | grams)


if __name__ == "__main__":
    main()
