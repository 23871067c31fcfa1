"""The pure rule of whether this PC can run a package: a format that its program knows, and enough memory.

It is a rule to refuse what can only fail; whether a release works is the self-test's word.
"""

from __future__ import annotations

from federation.inference.errors import EngineTooOld
from federation.inference.variants import memory_need_bytes, variant_lack
from federation.wire.enrolment import Hardware
from federation.wire.releases import Variant
from node.installed.errors import GpuTooSmall, MemoryTooSmall


def package_fit(
    *, card_format: int | None, weights_bytes: int, memory_available_bytes: int, engine_format: int
) -> None:
    """Return if a program that knows formats up to `engine_format` can run the package with this much memory.

    A `card_format` of None is one that could not be read: that is for the self-test to refuse, by its own name.

    Raises:
        EngineTooOld: the package is of a newer format.
        MemoryTooSmall: it needs more memory.
    """
    if card_format is not None and card_format > engine_format:
        raise EngineTooOld(needed=card_format, has=engine_format)
    needed = memory_need_bytes(weights_bytes)
    if needed > memory_available_bytes:
        raise MemoryTooSmall(needed_bytes=needed, available_bytes=memory_available_bytes)


def variant_fit(variant: Variant, hardware: Hardware) -> None:
    """Return if this PC has what the variant says that it needs.

    Raises:
        GpuTooSmall, MemoryTooSmall: it has less.
    """
    lack = variant_lack(variant, hardware)
    if lack is not None:
        refusal = GpuTooSmall if lack.what == "gpu_memory" else MemoryTooSmall
        raise refusal(needed_bytes=lack.needed_bytes, available_bytes=lack.available_bytes)
