"""A release as commands print it for programs."""

from __future__ import annotations

from typing import Any

from central.releases.contributions import contributions_held
from central.releases.models import Release


def release_describe(release: Release) -> dict[str, Any]:
    """Return what a program may want to know of `release`."""
    return {
        "version": release.version,
        "digest": release.digest,
        "kind": str(release.kind),
        "title": release.title,
        "status": str(release.status),
        "base": release.base.digest if release.base else None,
        "size_bytes": sum(file.size_bytes for file in release.files.filter(variant=next(iter(release.cards)))),
        "variants": [
            {
                "name": variant.name,
                "size_bytes": variant.size_bytes,
                "memory_bytes": variant.memory_bytes,
                "gpu_memory_bytes": variant.gpu_memory_bytes,
            }
            for variant in release.variants.all()
        ],
        "contributions": list(contributions_held(release)),
        "gate_report": release.gate_report,
        "card": release.card,
        "why": release.why,
    }
