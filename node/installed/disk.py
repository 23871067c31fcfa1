"""Where releases lie under the node's root, and what may be removed there."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from federation.trust.errors import ReleaseDamaged
from federation.trust.release_bytes import index_read, variant_read


def release_path(root: Path, digest: str) -> Path:
    """Return the directory of an installed release."""
    return root / "releases" / digest


def download_path(root: Path, digest: str, variant: str = "") -> Path:
    """Return the directory of a release, or of one variant of it, that is on its way."""
    return root / "downloads" / (f"{digest}-{variant}" if variant else digest)


def releases_present(root: Path) -> tuple[Path, ...]:
    """Return the directories of all installed releases, in order."""
    return tuple(sorted(path for path in (root / "releases").glob("*") if path.is_dir()))


def variants_present(root: Path) -> dict[str, str]:
    """Return, by its digest, which variant of each base of several lies on this disk."""
    found = {path.name: variant_read(path) for path in releases_present(root)}
    return {digest: variant for digest, variant in found.items() if variant}


def releases_remove(root: Path, *, keep: Collection[str]) -> tuple[str, ...]:
    """Leave only the releases `keep` and the bases that they stand on; return the digests of the removed."""
    wanted = set(keep) | {base for digest in keep if (base := _base(root, digest))}
    removed = [path for path in releases_present(root) if path.name not in wanted]
    for path in removed:
        # Out of sight by one rename first: a cut then leaves a download to clear away, and no half of a release.
        hidden = download_path(root, f"{path.name}.removed")
        hidden.parent.mkdir(exist_ok=True)
        path.replace(hidden)
        shutil.rmtree(hidden)
    return tuple(path.name for path in removed)


def downloads_present(root: Path) -> tuple[Path, ...]:
    """Return the directories of all releases that are on their way, in order."""
    return tuple(sorted(path for path in (root / "downloads").glob("*") if path.is_dir()))


def downloads_of(root: Path, digest: str) -> tuple[Path, ...]:
    """Return the directories of a release that is on its way, one for each form in which it was begun."""
    return tuple(path for path in downloads_present(root) if path.name.split("-")[0] == digest)


def downloads_remove(root: Path, *, keep: Collection[Path]) -> None:
    """Leave only the downloads in the directories `keep`."""
    for path in downloads_present(root):
        if path not in keep:
            shutil.rmtree(path)


def downloads_forget(root: Path, *, before: datetime) -> None:
    """Remove the downloads to which nothing was added since `before`."""
    for path in downloads_present(root):
        if max(part.stat().st_mtime for part in (path, *path.glob("*"))) < before.timestamp():
            shutil.rmtree(path)


def _base(root: Path, digest: str) -> str | None:
    try:
        return index_read(release_path(root, digest)).base
    except ReleaseDamaged:
        return None
