"""Say exactly which bytes a release is, and whether a directory holds them.

A release is named by the SHA-256 of its index's canonical bytes. `index.json` at the top of a release's directory is
that index itself and never one of its files.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from federation.trust.errors import ReleaseDamaged
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse, sha256_hex
from federation.wire.releases import CHUNK_BYTES, FileEntry, PatchSet, ReleaseIndex, ReleaseKind, chunk_starts

INDEX_NAME = "index.json"
SHA256_HEX_DIGITS = 64


def index_build(
    *,
    package: Path,
    kind: ReleaseKind,
    version: int,
    title: str,
    base: str | None,
    contributions: tuple[str, ...],
    tensors: Mapping[str, tuple[int, ...]] | None = None,
) -> ReleaseIndex:
    """Return the index of the release made of all files under `package`, in the order of their paths.

    `tensors` says for files of weights where their tensors begin, as in FileEntry.
    """
    starts = tensors or {}
    files = sorted(path for path in package.rglob("*") if path.is_file() and path != package / INDEX_NAME)
    return ReleaseIndex(
        kind=kind,
        version=version,
        title=title,
        base=base,
        files=tuple(_file_entry(path, package, starts) for path in files),
        contributions=contributions,
    )


def index_digest(index: ReleaseIndex) -> str:
    """Return the release's digest: its name on disk, in TUF and in every document."""
    return sha256_hex(canonical_bytes(index))


def index_parse(content: bytes) -> ReleaseIndex:
    """Return the release index that `content` spells, safe to write to disk by.

    Raises:
        MalformedDocument: not an index; or a path leaves the directory or comes twice, or sizes and chunks disagree.
    """
    index = parse(ReleaseIndex, content)
    seen: set[str] = set()
    for number, entry in enumerate(index.files):
        problem = _problem(entry, seen)
        if problem:
            raise MalformedDocument(document="ReleaseIndex", field=f"files[{number}]", problem=problem)
        seen.add(entry.path)
    for number, patches in enumerate(index.patches):
        if not _is_in_order(patches, sum(len(entry.chunks) for entry in index.files)):
            raise MalformedDocument(document="ReleaseIndex", field=f"patches[{number}]", problem="not in order")
    return index


def index_read(directory: Path) -> ReleaseIndex:
    """Return the index that lies in the release directory `directory`.

    Raises:
        ReleaseDamaged: it is missing or malformed.
    """
    try:
        return index_parse((directory / INDEX_NAME).read_bytes())
    except (OSError, MalformedDocument) as error:
        raise ReleaseDamaged(directory=str(directory), path=INDEX_NAME) from error


def index_verify(directory: Path, index: ReleaseIndex) -> None:
    """Return only if every file of `index` lies in `directory`, byte for byte.

    Raises:
        ReleaseDamaged: names the first file that is missing, of another size, or of other bytes.
    """
    for entry in index.files:
        if not file_is_whole(directory / entry.path, entry):
            raise ReleaseDamaged(directory=str(directory), path=entry.path)


def file_is_whole(path: Path, entry: FileEntry) -> bool:
    """Return whether `path` holds exactly the bytes of `entry`."""
    try:
        if path.stat().st_size != entry.size_bytes:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == entry.sha256
    except FileNotFoundError:
        return False


def _file_entry(path: Path, package: Path, starts: Mapping[str, tuple[int, ...]]) -> FileEntry:
    name, size_bytes, whole, chunks = path.relative_to(package).as_posix(), path.stat().st_size, hashlib.sha256(), []
    tensors = starts.get(name, ())
    with path.open("rb") as stream:
        for start, end in itertools.pairwise((*chunk_starts(size_bytes, tensors), size_bytes)):
            chunk = stream.read(end - start)
            whole.update(chunk)
            chunks.append(sha256_hex(chunk))
    return FileEntry(path=name, size_bytes=size_bytes, sha256=whole.hexdigest(), chunks=tuple(chunks), tensors=tensors)


def _problem(entry: FileEntry, seen: set[str]) -> str:
    path = PurePosixPath(entry.path)
    is_plain = entry.path == path.as_posix() and not path.is_absolute() and ".." not in path.parts
    if not is_plain or not path.name or "\\" in entry.path or "\0" in entry.path or entry.path == INDEX_NAME:
        return "path not allowed"
    if entry.path in seen or any(parent.as_posix() in seen for parent in path.parents):
        return "path twice"
    edges = list(itertools.pairwise((0, *entry.tensors, entry.size_bytes)))
    if entry.size_bytes < 0 or (entry.tensors and not all(start < end for start, end in edges)):
        return "tensors out of order"
    if len(entry.chunks) != sum(-(-(end - start) // CHUNK_BYTES) for start, end in edges):
        return "chunks do not cover the size"
    if not all(_is_sha256(digest) for digest in (entry.sha256, *entry.chunks)):
        return "not a SHA-256"
    return ""


def _is_in_order(patches: PatchSet, chunks: int) -> bool:
    numbers, of, sizes = patches.chunks, patches.of, patches.sizes
    is_ascending = all(first < second for first, second in itertools.pairwise((-1, *numbers, chunks)))
    is_possible = all(number >= 0 for number in of) and all(0 < size <= CHUNK_BYTES for size in sizes)
    names = _is_sha256(patches.base) and _is_sha256(patches.sha256)
    return len(numbers) == len(of) == len(sizes) and is_ascending and is_possible and names


def _is_sha256(text: str) -> bool:
    return len(text) == SHA256_HEX_DIGITS and not set(text) - set("0123456789abcdef")
