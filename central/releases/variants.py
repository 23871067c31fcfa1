"""What a built package is to a release, and what a PC must have for a variant of one.

A PC gets a further variant where half of its memory carries the engine with it: the other half is for everything else
that a school does on it. One for a GPU asks for the same of the PC, so that answers go on, slowly, when the GPU fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from central.releases.errors import VariantsDiffer
from central.releases.recipe import GPU_QUANTISATIONS
from central.releases.suite_comparison import SuiteReport
from central.releases.tensor_places import tensors_place
from federation.inference.variants import memory_need_bytes
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import files_list
from federation.wire.releases import Variant

PC_SHARE = 2
_SHARED = ("slots", "max_rank", "vocab_size", "context_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPackage:
    """A package's files, its card, and how it answered the suites; `variant` names one of several."""

    folder: Path
    card: Mapping[str, Any]
    suite: SuiteReport | None = None
    variant: str = ""


def variants_list(packages: Sequence[BuiltPackage]) -> tuple[Variant, ...]:
    """Return the variants of a release of `packages`, the first of which is for every school.

    Raises:
        VariantsDiffer: an adapter for one of them would not fit another.
    """
    for package in packages[1:]:
        for name in _SHARED:
            if package.card[name] != packages[0].card[name]:
                raise VariantsDiffer(variant=package.variant, what=name)
    return tuple(_variant(package, is_first=number == 0) for number, package in enumerate(packages))


def _variant(package: BuiltPackage, *, is_first: bool) -> Variant:
    files = files_list(package.folder, tensors_place(package.folder))
    need_bytes = 0 if is_first else memory_need_bytes(files_size_bytes(files))
    is_for_gpu = package.variant in GPU_QUANTISATIONS
    return Variant(
        name=package.variant,
        memory_bytes=PC_SHARE * need_bytes,
        gpu_memory_bytes=need_bytes if is_for_gpu else 0,
        files=files,
    )
