"""The pure rule of which form of a base a PC gets, the same at the centre, which offers it, and at the node.

Rules, in order:
1. The first variant is for every school, and is what a PC gets that lacks something for each of the others.
2. Of the others the first is taken whose memory, GPU memory and room on the disk the PC has.

How many cores a PC has decides nothing: what is fastest on one core is so on four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from federation.trust.fetch import RESERVE_BYTES, files_size_bytes
from federation.wire.enrolment import Hardware
from federation.wire.releases import Variant

ENGINE_BYTES = 200_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What a PC has too little of: `memory` or `gpu_memory`."""

    what: str
    needed_bytes: int
    available_bytes: int


def memory_need_bytes(weights_bytes: int) -> int:
    """Return how much memory an engine takes that holds a package of `weights_bytes`.

    The package's bytes, a quarter more for what the engine keeps beside the weights, and 200 MB for the program and the
    conversation's cache.
    """
    return weights_bytes + weights_bytes // 4 + ENGINE_BYTES


def variant_lack(variant: Variant, hardware: Hardware) -> Lack | None:
    """Return what a PC lacks for the variant, or None where it fits."""
    for what, needed, available in (
        ("gpu_memory", variant.gpu_memory_bytes, hardware.gpu_memory_bytes),
        ("memory", variant.memory_bytes, hardware.memory_bytes),
    ):
        if available < needed:
            return Lack(what=what, needed_bytes=needed, available_bytes=available)
    return None


def variant_choose(variants: Sequence[Variant], hardware: Hardware) -> str:
    """Return the name of the variant that a PC gets that has none yet; empty where the base has but one form."""
    for variant in variants[1:]:
        has_room = files_size_bytes(variant.files) + RESERVE_BYTES <= hardware.disk_free_bytes
        if has_room and variant_lack(variant, hardware) is None:
            return variant.name
    return variants[0].name if variants else ""
