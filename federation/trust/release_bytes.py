"""Say exactly which bytes a release is, and whether a directory holds them.

A release is named by the SHA-256 of its index's canonical bytes. `index.json` at the top of a release's directory is
that index itself and never one of its files. A release of several variants has one of them in its directory, and the
file `variant` there says which.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from federation.trust.errors import ReleaseDamaged, VariantUnknown
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse, sha256_hex
from federation.wire.releases import (
    CHUNK_BYTES,
    FileEntry,
    PatchSet,
    ReleaseIndex,
    ReleaseKind,
    Variant,
    chunk_starts,
)

INDEX_NAME = "index.json"
VARIANT_NAME = "variant"
SHA256_HEX_DIGITS = 64
# It becomes part of a directory's name.
_PLAIN_NAME = re.compile(r"[a-z0-9-]{1,20}", re.ASCII)


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
    return ReleaseIndex(
        kind=kind,
        version=version,
        title=title,
        base=base,
        files=files_list(package, tensors),
        contributions=contributions,
    )


def files_list(package: Path, tensors: Mapping[str, tuple[int, ...]] | None = None) -> tuple[FileEntry, ...]:
    """Return the entries of all files under `package`, in the order of their paths; `tensors` as in `index_build`."""
    own = (package / INDEX_NAME, package / VARIANT_NAME)
    files = sorted(path for path in package.rglob("*") if path.is_file() and path not in own)
    return tuple(_file_entry(path, package, tensors or {}) for path in files)


def files_all(index: ReleaseIndex) -> tuple[FileEntry, ...]:
    """Return all files of the release, variant after variant: in this order its files and chunks are numbered."""
    return (*index.files, *(entry for variant in index.variants for entry in variant.files))


def variant_names(index: ReleaseIndex) -> tuple[str, ...]:
    """Return the names of the release's variants; that of its one form, which is empty, where it has none."""
    return tuple(variant.name for variant in index.variants) or ("",)


def file_numbers(index: ReleaseIndex, variant: str) -> range:
    """Return which of `files_all` are the release's files, or those of its `variant` where it has several.

    Raises:
        VariantUnknown: it has none of this name.
    """
    if not index.variants and not variant:
        return range(len(index.files))
    start = 0
    for each in index.variants:
        if each.name == variant:
            return range(start, start + len(each.files))
        start += len(each.files)
    raise VariantUnknown(release=index_digest(index), variant=variant)


def index_files(index: ReleaseIndex, variant: str) -> tuple[FileEntry, ...]:
    """Return the files of the release, of its `variant` where it has several.

    Raises:
        VariantUnknown: it has none of this name.
    """
    numbers = file_numbers(index, variant)
    return files_all(index)[numbers.start : numbers.stop]


def index_files_all(index: ReleaseIndex) -> tuple[FileEntry, ...]:
    """Return the files of the release, of all its variants where it has several."""
    return index.files + tuple(entry for variant in index.variants for entry in variant.files)


def index_digest(index: ReleaseIndex) -> str:
    """Return the release's digest: its name on disk, in TUF and in every document."""
    return sha256_hex(canonical_bytes(index))


def index_parse(content: bytes) -> ReleaseIndex:
    """Return the release index that `content` spells, safe to write to disk by.

    Raises:
        MalformedDocument: not an index; or a path leaves the directory or comes twice, or sizes and chunks disagree,
            or its variants are not what variants can be.
    """
    index = parse(ReleaseIndex, content)
    _files_check(index.files, "files")
    for number, variant in enumerate(index.variants):
        problem = _variant_problem(index, number, variant)
        if problem:
            raise MalformedDocument(document="ReleaseIndex", field=f"variants[{number}]", problem=problem)
        _files_check(variant.files, f"variants[{number}].files")
    chunks = sum(len(entry.chunks) for entry in files_all(index))
    for number, patches in enumerate(index.patches):
        if not _is_in_order(patches, chunks):
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


def variant_read(directory: Path) -> str:
    """Return which variant the release directory `directory` says that it holds; empty where it says nothing."""
    try:
        return (directory / VARIANT_NAME).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def installed_numbers(directory: Path, index: ReleaseIndex) -> range:
    """Return which of `files_all` lie in the directory of the release `index`, if it is in order.

    Raises:
        ReleaseDamaged: it does not say which variant of the release it holds.
    """
    try:
        return file_numbers(index, variant_read(directory))
    except VariantUnknown as error:
        raise ReleaseDamaged(directory=str(directory), path=VARIANT_NAME) from error


def installed_files(directory: Path, index: ReleaseIndex) -> tuple[FileEntry, ...]:
    """Return the files that lie in the directory of the release `index`, if it is in order.

    Raises:
        ReleaseDamaged: it does not say which variant of the release it holds.
    """
    numbers = installed_numbers(directory, index)
    return files_all(index)[numbers.start : numbers.stop]


def index_verify(directory: Path, index: ReleaseIndex) -> None:
    """Return only if every file of `index`, or of one variant of it, lies in `directory`, byte for byte.

    Raises:
        ReleaseDamaged: names the first file that is missing, of another size, or of other bytes.
    """
    for entry in installed_files(directory, index):
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


def _files_check(files: tuple[FileEntry, ...], field: str) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(files):
        problem = _problem(entry, seen)
        if problem:
            raise MalformedDocument(document="ReleaseIndex", field=f"{field}[{number}]", problem=problem)
        seen.add(entry.path)


def _variant_problem(index: ReleaseIndex, number: int, variant: Variant) -> str:
    if index.kind is ReleaseKind.ADAPTER or index.files:
        return "only a base or a program without files of its own has variants"
    if not _PLAIN_NAME.fullmatch(variant.name):
        return "name not allowed"
    if variant.name in [earlier.name for earlier in index.variants[:number]]:
        return "name twice"
    needs = (variant.memory_bytes, variant.gpu_memory_bytes)
    if min(needs) < 0 or (number == 0 and any(needs)):
        return "needs not allowed"
    return ""


def _problem(entry: FileEntry, seen: set[str]) -> str:
    path = PurePosixPath(entry.path)
    is_plain = entry.path == path.as_posix() and not path.is_absolute() and ".." not in path.parts
    if (
        not is_plain
        or not path.name
        or "\\" in entry.path
        or "\0" in entry.path
        or path.parts[0] in (INDEX_NAME, VARIANT_NAME)
    ):
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
