"""Look at a package before it is fetched, so that a slow link does not carry for days what this PC cannot run.

Its size stands in the signed index. Its card is one small file, which is asked for first and comes again with the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from federation.errors import TransportError
from federation.inference.package import CARD, FORMAT
from federation.trust.blob_sources import BlobSource
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import index_digest, index_files
from federation.wire.canonical import sha256_hex
from federation.wire.releases import FileEntry, ReleaseIndex
from node.installed.disk import release_path
from node.installed.fit import package_fit, variant_fit
from node.installed.hardware import Gauges

MAX_CARD_BYTES = 64 * 1024


def package_check(
    *,
    root: Path,
    package: ReleaseIndex,
    variant: str,
    source: BlobSource,
    peers: Sequence[BlobSource] = (),
    gauges: Gauges,
) -> None:
    """Return if this PC can run `variant` of the base release `package`; one on the disk was judged when it came.

    Its card is taken from the first of `peers` that has it, else from `source`.

    Raises:
        EngineTooOld, MemoryTooSmall, GpuTooSmall: it cannot.
        VariantUnknown: the release has no such variant.
        TransportError: the card did not come; try later.
    """
    if release_path(root, index_digest(package)).is_dir():
        return
    files = index_files(package, variant)
    for named in package.variants:
        if named.name == variant:
            variant_fit(named, gauges.hardware(root))
    package_fit(
        card_format=_card_format(files, source, peers),
        weights_bytes=files_size_bytes(files),
        memory_available_bytes=gauges.memory_available(root),
        engine_format=FORMAT,
    )


def _card_format(files: Sequence[FileEntry], source: BlobSource, peers: Sequence[BlobSource]) -> int | None:
    """Return the format that the package's card names; None where the card is none, or is not the one of the index.

    What is wrong with it then is found and named by the fetch or the self-test.
    """
    entry = next((entry for entry in files if entry.path == CARD), None)
    if entry is None or entry.size_bytes > MAX_CARD_BYTES:
        return None
    content = _card(entry, source, peers)
    if sha256_hex(content) != entry.sha256:
        return None
    try:
        named = json.loads(content)["format"]
    except (ValueError, KeyError, TypeError):
        return None
    return named if isinstance(named, int) else None


def _card(entry: FileEntry, source: BlobSource, peers: Sequence[BlobSource]) -> bytes:
    for peer in peers:
        with contextlib.suppress(TransportError):
            content = _read(entry, peer)
            if sha256_hex(content) == entry.sha256:
                return content
    return _read(entry, source)


def _read(entry: FileEntry, source: BlobSource) -> bytes:
    content = b""
    for piece in source.read_range(entry.sha256, 0, entry.size_bytes):
        content += piece
        if len(content) >= entry.size_bytes:
            break
    return content
