"""The pure rule of whether this PC can run a package: a format that its program knows, and enough memory.

Memory: the package's bytes, a quarter more for what the engine keeps beside the weights, and 200 MB for the program and
the conversation's cache. It is a rule to refuse what can only fail; whether a release works is the self-test's word.
"""

from __future__ import annotations

from federation.inference.errors import EngineTooOld
from node.installed.errors import MemoryTooSmall

ENGINE_BYTES = 200_000_000


def memory_need_bytes(weights_bytes: int) -> int:
    """Return how much memory an engine takes that holds a package of `weights_bytes`."""
    return weights_bytes + weights_bytes // 4 + ENGINE_BYTES


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
