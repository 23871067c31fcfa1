"""Refuses a build that this machine has not the memory or the disk for, before it begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from central.releases.packaging.errors import BuildMemoryShort
from central.releases.packaging.needs import ModelSize, disk_needs, memory_needs
from central.releases.packaging.reference import LARGEST_WHOLE
from central.releases.recipe import Recipe
from federation.trust.errors import DiskFull
from federation.trust.fetch import disk_free_bytes

PROC = Path("/proc")
_KIBIBYTE = 1024


def memory_available_bytes(*, proc: Path = PROC) -> int:
    """Return what the kernel calls available. Source: Linux, proc(5)."""
    lines = (proc / "meminfo").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith("MemAvailable:"))


def room_check(
    size: ModelSize,
    *,
    prepared_bytes: int,
    recipe: Recipe,
    is_tuned: bool,
    work: Path,
    into: Path,
    available_bytes: int,
    disk_free: Callable[[Path], int] = disk_free_bytes,
) -> None:
    """Return if a build of a model of `size` has room here.

    `prepared_bytes` is what is still to be written of the prepared checkpoint. Steps are kept in `work`, the package
    appears at `into`.

    Raises:
        BuildMemoryShort: a step would need more memory than `available_bytes`; names the one that needs most.
        DiskFull: the files would not fit.
    """
    needs = memory_needs(size, recipe=recipe, is_tuned=is_tuned, largest_whole=LARGEST_WHOLE)
    step = max(needs, key=lambda name: needs[name])
    if needs[step] > available_bytes:
        raise BuildMemoryShort(step=step, needed_bytes=needs[step], available_bytes=available_bytes)
    kept, shipped = disk_needs(size, prepared_bytes=prepared_bytes, recipe=recipe, is_tuned=is_tuned)
    is_one_disk = _disk(work) == _disk(into)
    for folder, needed in ((work, kept + shipped if is_one_disk else kept), (into, shipped)):
        if needed > disk_free(folder):
            raise DiskFull(needed_bytes=needed, free_bytes=disk_free(folder))


def _disk(path: Path) -> int:
    existing = next(candidate for candidate in (path, *path.parents) if candidate.exists())
    return existing.stat().st_dev
