"""Compare a new base with an older one and keep what makes the one's chunks out of the other's, where that pays.

Tensors are compared by their names, wherever they lie, and each variant with the same one of the older base. A chunk
whose patch has WORTH_SHARE of its bytes or more is left to be fetched whole. Takes about half a second for each
megabyte that differs.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from central.releases.tensor_places import tensors_named
from federation.trust.chunk_journal import ChunkPlace
from federation.trust.chunk_store import ChunkMap
from federation.trust.patches import WORTH_SHARE, patch_make
from federation.trust.release_bytes import file_numbers, files_all, index_digest, variant_names
from federation.wire.releases import PatchSet, ReleaseIndex


def patches_write(
    *,
    folders: Mapping[str, Path],
    index: ReleaseIndex,
    old_folders: Mapping[str, Path],
    old_index: ReleaseIndex,
    into: Path,
    progress: Callable[[float], None] = lambda _share: None,
) -> PatchSet | None:
    """Leave at `into` the patches that make the release in `folders` out of an older one; None where none pays.

    Folders are named by the variant that lies in them; that of a base of one form by the empty word.
    """
    chunks, old_chunks = ChunkMap("", files_all(index)), ChunkMap(index_digest(old_index), files_all(old_index))
    numbers, of, sizes, digest = [], [], [], hashlib.sha256()
    pairs = [
        pair
        for variant in variant_names(index)
        if variant in old_folders
        for pair in _pairs(
            _Package(folders[variant], chunks, file_numbers(index, variant)),
            _Package(old_folders[variant], old_chunks, file_numbers(old_index, variant)),
        )
    ]
    with into.open("wb") as stream:
        for done, (new, old) in enumerate(pairs, start=1):
            content = new.read()
            patch = patch_make(old.read(), content)
            if len(patch) < WORTH_SHARE * len(content):
                stream.write(patch)
                digest.update(patch)
                numbers.append(chunks.numbers[new.place])
                of.append(old_chunks.numbers[old.place])
                sizes.append(len(patch))
            progress(done / len(pairs))
    if not numbers:
        return None
    return PatchSet(
        base=old_chunks.release, sha256=digest.hexdigest(), chunks=tuple(numbers), of=tuple(of), sizes=tuple(sizes)
    )


@dataclass(frozen=True, slots=True)
class _Package:
    """The files `numbers` of a release, which lie in `folder`."""

    folder: Path
    chunks: ChunkMap
    numbers: range

    def places(self) -> list[ChunkPlace]:
        return [place for place in self.chunks.places if place.file in self.numbers]

    def by_tensor(self) -> dict[tuple[str, int], ChunkPlace]:
        """Return the chunks of weights by the name of their tensor and how far behind its beginning they begin."""
        names = tensors_named(self.folder)
        found = {}
        for place in self.places():
            starts = names.get(self.chunks.files[place.file].path, {})
            begins = sorted(starts)
            at = bisect.bisect_right(begins, self.chunks.start(place)) - 1
            if at >= 0:
                found[starts[begins[at]], self.chunks.start(place) - begins[at]] = place
        return found


@dataclass(frozen=True, slots=True)
class _Chunk:
    package: _Package
    place: ChunkPlace

    def read(self) -> bytes:
        chunks = self.package.chunks
        with (self.package.folder / chunks.files[self.place.file].path).open("rb") as stream:
            stream.seek(chunks.start(self.place))
            return stream.read(chunks.size_bytes(self.place))


def _pairs(new: _Package, old: _Package) -> Iterator[tuple[_Chunk, _Chunk]]:
    """Yield, in order, each new chunk with the one at the same place of the same tensor, if they are as long."""
    old_places = old.by_tensor()
    known = {old.chunks.sha256(place) for place in old.places()}
    for key, place in new.by_tensor().items():
        old_place = old_places.get(key)
        if (
            old_place
            and new.chunks.sha256(place) not in known
            and new.chunks.size_bytes(place) == old.chunks.size_bytes(old_place)
        ):
            yield _Chunk(new, place), _Chunk(old, old_place)
