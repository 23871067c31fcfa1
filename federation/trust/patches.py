"""Make a chunk out of an older release's: what differs between the two, compressed.

A further tuning moves most 8-bit weights by nothing or one, so that the difference of the bytes is mostly zeros. A
patch is believed in nothing: the chunk that it makes is verified like any other, and where it is wrong it is fetched.
A patch is the raw LZMA2 stream of (new - old) modulo 256, with a dictionary of one chunk.
"""

from __future__ import annotations

import contextlib
import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from federation.trust.blob_sources import BlobSource
from federation.trust.chunk_journal import ChunkPlace
from federation.trust.chunk_store import ChunkMap, Run
from federation.trust.errors import LinkLost, ReleaseDamaged
from federation.trust.held_chunks import HeldChunk, installed_places, is_partial
from federation.trust.release_bytes import files_all, index_digest, index_read, installed_numbers
from federation.wire.releases import CHUNK_BYTES, PatchSet, ReleaseIndex

WORTH_SHARE = 0.6
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": CHUNK_BYTES}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Where a patch lies in its blob, and the chunk that it changes."""

    place: ChunkPlace
    start: int
    size_bytes: int
    old: HeldChunk


def patch_make(old: bytes, new: bytes) -> bytes:
    """Return the patch that makes `new` out of `old`, which is as long."""
    difference = np.frombuffer(new, np.uint8) - np.frombuffer(old, np.uint8)
    return lzma.compress(difference.tobytes(), format=lzma.FORMAT_RAW, filters=_FILTERS)


def patch_apply(old: bytes, patch: bytes) -> bytes:
    """Return what `patch` makes out of `old`; no bytes where it is no patch for a chunk of this length."""
    reader = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        # Never more than the chunk: a few bytes may claim to be gigabytes.
        difference = reader.decompress(patch, max_length=len(old))
    except lzma.LZMAError:
        return b""
    if len(difference) != len(old):
        return b""
    return (np.frombuffer(old, np.uint8) + np.frombuffer(difference, np.uint8)).tobytes()


class Patches:
    """The patches of one blob that this PC can use, because it has the older release."""

    def __init__(self, sha256: str = "", patches: Iterable[Patch] = ()) -> None:
        self._sha256 = sha256
        self._patches = {patch.place: patch for patch in patches}

    @classmethod
    def found(cls, index: ReleaseIndex, chunks: ChunkMap, releases: Sequence[Path]) -> Patches:
        """Return the patches of `index` out of the first of its older releases that is whole among `releases`."""
        here = _by_digest(releases)
        for patches in index.patches:
            if patches.base in here:
                return cls(patches.sha256, _located(patches, chunks, *here[patches.base]))
        return cls()

    def runs(self, run: Run) -> Iterator[list[Patch]]:
        """Yield the patches for chunks of `run`, each time those that lie one behind the other in the blob."""
        together: list[Patch] = []
        for patch in (self._patches[place] for place in run.places() if place in self._patches):
            if together and together[-1].start + together[-1].size_bytes != patch.start:
                yield together
                together = []
            together.append(patch)
        if together:
            yield together

    def make(self, together: Sequence[Patch], source: BlobSource) -> Iterator[tuple[ChunkPlace, bytes]]:
        """Yield the chunks that neighbouring patches of the source's blob make, to be verified by whoever keeps them.

        Raises:
            LinkLost, BlobUnavailable: as the source, or it ended early.
        """
        first, last = together[0], together[-1]
        waiting, held = list(together), bytearray()
        for piece in source.read_range(self._sha256, first.start, last.start + last.size_bytes - first.start):
            held += piece
            while waiting and len(held) >= waiting[0].size_bytes:
                patch = waiting.pop(0)
                content = bytes(held[: patch.size_bytes])
                del held[: patch.size_bytes]
                yield patch.place, patch_apply(patch.old.read(), content)
        if waiting:
            raise LinkLost(sha256=self._sha256, problem="short")

    def forget(self) -> None:
        """Use none of them any more."""
        self._patches = {}


def _by_digest(releases: Sequence[Path]) -> dict[str, tuple[Path, ReleaseIndex]]:
    here: dict[str, tuple[Path, ReleaseIndex]] = {}
    for directory in releases:
        with contextlib.suppress(ReleaseDamaged):
            if not is_partial(directory):
                index = index_read(directory)
                installed_numbers(directory, index)
                here[index_digest(index)] = (directory, index)
    return here


def _located(patches: PatchSet, chunks: ChunkMap, directory: Path, old_index: ReleaseIndex) -> Iterator[Patch]:
    """Yield the patches whose old chunk lies in `directory`, which has but one of the variants that were patched."""
    old, start = ChunkMap(patches.base, files_all(old_index)), 0
    here = installed_places(directory, old_index, old)
    for number, of, size_bytes in zip(patches.chunks, patches.of, patches.sizes, strict=True):
        if of < len(old.places) and old.places[of] in here:
            place, source = chunks.places[number], old.places[of]
            held = HeldChunk(
                path=directory / old.files[source.file].path,
                start=old.start(source),
                size_bytes=old.size_bytes(source),
            )
            yield Patch(place=place, start=start, size_bytes=size_bytes, old=held)
        start += size_bytes
