"""Compare a new base with an older one and keep what makes the one's chunks out of the other's, where that pays.

Tensors are compared by their names, wherever they lie. A chunk whose patch has WORTH_SHARE of its bytes or more is left
to be fetched whole. Takes about half a second for each megabyte that differs.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from central.releases.tensor_places import tensors_named
from federation.trust.chunk_journal import ChunkPlace
from federation.trust.chunk_store import ChunkMap
from federation.trust.patches import WORTH_SHARE, patch_make
from federation.trust.release_bytes import index_digest
from federation.wire.releases import PatchSet, ReleaseIndex


def patches_write(
    *,
    folder: Path,
    index: ReleaseIndex,
    old_folder: Path,
    old_index: ReleaseIndex,
    into: Path,
    progress: Callable[[float], None] = lambda _share: None,
) -> PatchSet | None:
    """Leave at `into` the patches that make the release in `folder` out of an older one; None where none pays."""
    chunks, old_chunks = ChunkMap("", index.files), ChunkMap(index_digest(old_index), old_index.files)
    numbers, of, sizes, digest = [], [], [], hashlib.sha256()
    pairs = list(_pairs(chunks, folder, old_chunks, old_folder))
    with into.open("wb") as stream:
        for done, (place, old_place) in enumerate(pairs, start=1):
            new = _read(folder, chunks, place)
            patch = patch_make(_read(old_folder, old_chunks, old_place), new)
            if len(patch) < WORTH_SHARE * len(new):
                stream.write(patch)
                digest.update(patch)
                numbers.append(chunks.numbers[place])
                of.append(old_chunks.numbers[old_place])
                sizes.append(len(patch))
            progress(done / len(pairs))
    if not numbers:
        return None
    return PatchSet(
        base=old_chunks.release, sha256=digest.hexdigest(), chunks=tuple(numbers), of=tuple(of), sizes=tuple(sizes)
    )


def _pairs(chunks: ChunkMap, folder: Path, old: ChunkMap, old_folder: Path) -> Iterator[tuple[ChunkPlace, ChunkPlace]]:
    """Yield, in order, each new chunk with the one at the same place of the same tensor, if they are as long."""
    old_places = _by_tensor(old, old_folder)
    known = {old.sha256(place) for place in old.places}
    for key, place in _by_tensor(chunks, folder).items():
        old_place = old_places.get(key)
        if old_place and chunks.sha256(place) not in known and chunks.size_bytes(place) == old.size_bytes(old_place):
            yield place, old_place


def _by_tensor(chunks: ChunkMap, folder: Path) -> dict[tuple[str, int], ChunkPlace]:
    """Return the chunks of weights by the name of their tensor and how far behind its beginning they begin."""
    names = tensors_named(folder)
    found = {}
    for place in chunks.places:
        starts = names.get(chunks.files[place.file].path, {})
        begins = sorted(starts)
        at = bisect.bisect_right(begins, chunks.start(place)) - 1
        if at >= 0:
            found[starts[begins[at]], chunks.start(place) - begins[at]] = place
    return found


def _read(folder: Path, chunks: ChunkMap, place: ChunkPlace) -> bytes:
    with (folder / chunks.files[place.file].path).open("rb") as stream:
        stream.seek(chunks.start(place))
        return stream.read(chunks.size_bytes(place))
