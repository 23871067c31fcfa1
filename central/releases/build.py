"""Builds a base release from a checkpoint and has the gate judge it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from central.disk import CentreDisk
from central.releases.errors import BuildInterrupted
from central.releases.evaluation_set import suites_read, texts_read
from central.releases.gate import BaseReport, PerplexityPair
from central.releases.judge import release_gate, suite_stored
from central.releases.measure import base_measure
from central.releases.models import Release, ReleaseKindChoice, ReleaseStatus
from central.releases.packaging.step_folder import steps_hold
from central.releases.recipe import Recipe, recipe_read
from central.releases.services import (
    release_build_begin,
    release_build_fail,
    release_built,
    release_progress,
)
from central.releases.storage import blobs_sweep
from central.releases.suite_comparison import SuiteReport
from central.releases.variants import BuiltPackage
from federation.errors import FederationError
from federation.inference.suite import Suite

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
        with steps_hold(settings.BUILD_WORK):
            _leftovers_remove(disk, now=clock())
            packages = [
                _package_make(release, recipe, folder, suites, progress)
                for recipe in recipe_read(release.recipe).variants()
            ]
            release_built(
                release=release,
                packages=packages,
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
    """Judge a built base by what its cards and its row hold; a cut before this leaves it at the gate."""
    reports = {
        variant: _report(card, suite_stored(release, variant) or SuiteReport())
        for variant, card in release.cards.items()
    }
    release_gate(release=release, reports=reports, now=now)


def _report(card: Mapping[str, Any], suite: SuiteReport) -> BaseReport:
    pairs = {
        language: PerplexityPair(reference=float(pair["fp32"]), shipped=float(pair["shipped"]))
        for language, pair in card["perplexity"].items()
    }
    parities = card["parity"].values()
    divergences = [float(parity[name]) for parity in parities for name in ("divergence_short", "divergence_long")]
    increases = [float(loss["increase"]) for loss in card.get("vocabulary", {}).values()]
    return BaseReport(
        perplexity=pairs,
        divergence=max(divergences, default=math.nan),
        suite=suite,
        vocabulary_increase=max(increases, default=None),
    )


def bases_gate(*, now: datetime) -> int:
    """Judge the bases that a cut has left at the gate; return how many."""
    left = Release.objects.filter(kind=ReleaseKindChoice.BASE, status=ReleaseStatus.GATED)
    for release in left:
        base_gate(release=release, now=now)
    return len(left)


def _package_make(
    release: Release, recipe: Recipe, folder: Path, suites: Sequence[Suite], progress: Watcher
) -> BuiltPackage:
    """Return the release's package by `recipe`, measured; one of several stands in `folder` under its own name."""
    # Torch and the exporter are heavy, and only the process that builds needs them.
    from central.releases.packaging.build import package_build  # noqa: PLC0415
    from central.releases.packaging.checkpoint import checkpoint_cached  # noqa: PLC0415
    from central.releases.packaging.needs import ModelSize  # noqa: PLC0415
    from central.releases.packaging.room import memory_available_bytes, room_check  # noqa: PLC0415

    variant = recipe.quantisation if recipe_read(release.recipe).further else ""
    work, into = settings.BUILD_WORK, folder / variant

    def admit(size: ModelSize, prepared_bytes: int) -> None:
        room_check(
            size,
            prepared_bytes=prepared_bytes,
            recipe=recipe,
            is_tuned=release.has_chat_tuning,
            work=work,
            into=into,
            available_bytes=memory_available_bytes(),
        )

    def told(stage: str, share: float) -> None:
        progress(f"{variant} {stage}".strip(), share)

    into.parent.mkdir(parents=True, exist_ok=True)
    source = Path(release.checkpoint) if release.checkpoint else None
    # What does not depend on the quantisation is in the work folder after the first variant.
    checkpoint = checkpoint_cached(source=source, work=work, progress=told, admit=admit)
    card = package_build(
        checkpoint=checkpoint,
        texts=texts_read(),
        into=into,
        work=work,
        progress=told,
        recipe=recipe,
        tune=release.has_chat_tuning,
    )
    suite = base_measure(package=into, suites=suites, progress=lambda part: told("question suite", part))
    return BuiltPackage(folder=into, card=asdict(card), suite=suite, variant=variant)


def _leftovers_remove(disk: CentreDisk, *, now: datetime) -> None:
    """Remove what builds that were killed have left; the caller holds the only one there may be."""
    for pattern in ("base-*", ".base-*"):
        for path in disk.builds.glob(pattern):
            shutil.rmtree(path)
    for path in disk.builds.glob("patches-*"):
        path.unlink()
    blobs_sweep(root=disk.blobs, now=now)
