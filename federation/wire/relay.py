"""What one PC of a school says to another of a release that both have or are fetching (protocol §3.11)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Which chunks of a release a PC can give. Chunks are numbered through the whole index, from 0."""

    release: str
    chunks: bytes
    """A bit for each chunk, the first chunk in the highest bit of the first byte."""
    fetching: tuple[int, ...]
    """Chunks that it is fetching from the centre at this moment, which the others need not fetch as well."""
