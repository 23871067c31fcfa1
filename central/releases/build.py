"""Builds a base release from a checkpoint and has the gate judge it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from django.conf import settings

from central.disk import CentreDisk
from central.releases.errors import BuildInterrupted
from central.releases.evaluation_set import suites_read, texts_read
from central.releases.gate import BaseReport, PerplexityPair
from central.releases.judge import release_gate, suite_stored
from central.releases.measure import base_measure
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.recipe import recipe_read
from central.releases.services import (
    release_build_begin,
    release_build_fail,
    release_built,
    release_progress,
)
from central.releases.suite_comparison import SuiteReport
from federation.errors import FederationError
from federation.inference.package import PackageCard

Watcher = Callable[[str, float], None]


def base_build(
    *,
    release: Release,
    disk: CentreDisk,
    actor: str,
    clock: Callable[[], datetime],
    watcher: Watcher | None = None,
) -> None:
    """Leave the draft judged: awaiting its signature, or refused. Takes minutes and two cores.

    Raises:
        FederationError: the checkpoint cannot become a package; the release says why and can be made a draft again.
    """
    release_build_begin(release=release, actor=actor, now=clock())
    folder = disk.builds / f"base-{release.version}"

    def progress(stage: str, share: float) -> None:
        release_progress(release=release, stage=stage, share=share, now=clock())
        if watcher is not None:
            watcher(stage, share)

    try:
        # Read first, so that a line that cannot be used ends the build before its minutes and not after.
        suites = suites_read(extra=settings.SUITES)
        card = _package_make(release, folder, progress)
        suite = base_measure(package=folder, suites=suites, progress=lambda part: progress("question suite", part))
        release_built(
            release=release,
            folder=folder,
            card=asdict(card),
            suite=suite,
            disk=disk,
            now=clock(),
            progress=lambda part: progress("patches", part),
        )
    except BaseException as error:
        refusal = error if isinstance(error, FederationError) else BuildInterrupted(release=release.version)
        release_build_fail(release=release, error=refusal, now=clock())
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    base_gate(release=release, now=clock())


def base_gate(*, release: Release, now: datetime) -> None:
    """Judge a built base by what its card and its row hold; a cut before this leaves it at the gate."""
    pairs = {
        language: PerplexityPair(reference=float(pair["fp32"]), shipped=float(pair["shipped"]))
        for language, pair in release.card["perplexity"].items()
    }
    parities = release.card["parity"].values()
    divergences = [float(parity[name]) for parity in parities for name in ("divergence_short", "divergence_long")]
    increases = [float(loss["increase"]) for loss in release.card.get("vocabulary", {}).values()]
    report = BaseReport(
        perplexity=pairs,
        divergence=max(divergences, default=math.nan),
        suite=suite_stored(release) or SuiteReport(),
        vocabulary_increase=max(increases, default=None),
    )
    release_gate(release=release, report=report, now=now)


def bases_gate(*, now: datetime) -> int:
    """Judge the bases that a cut has left at the gate; return how many."""
    left = Release.objects.filter(kind=ReleaseKindChoice.BASE, status=ReleaseStatus.GATED)
    for release in left:
        base_gate(release=release, now=now)
    return len(left)


def _package_make(release: Release, folder: Path, progress: Watcher) -> PackageCard:
    # Torch and the exporter are heavy, and only the process that builds needs them.
    from central.releases.packaging.build import package_build  # noqa: PLC0415
    from central.releases.packaging.checkpoint import checkpoint_cached  # noqa: PLC0415

    work = settings.BUILD_WORK
    folder.parent.mkdir(parents=True, exist_ok=True)
    source = Path(release.checkpoint) if release.checkpoint else None
    checkpoint = checkpoint_cached(source=source, work=work, progress=progress)
    return package_build(
        checkpoint=checkpoint,
        texts=texts_read(),
        into=folder,
        work=work,
        progress=progress,
        recipe=recipe_read(release.recipe),
        tune=release.has_chat_tuning,
    )
