"""What happens to releases; the only writer of the app's tables.

A release is built in a folder, its files become blobs, its index becomes its digest, the gate judges it, and signing
publishes it. Every step may be repeated after a cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Max

from central.disk import CentreDisk
from central.releases.blob_store import blob_store
from central.releases.errors import BaseNotReady, BuildInterrupted, ReleaseUnknown
from central.releases.judgement import Judgement, by_variant, reasons_of
from central.releases.models import Release, ReleaseFile, ReleaseKindChoice, ReleaseStatus, ReleaseVariant
from central.releases.patches import patches_write
from central.releases.recipe import Recipe
from central.releases.tensor_places import tensors_place
from central.releases.variants import BuiltPackage, variants_list
from central.releases.verdict_document import report_plain, verdict_document
from central.schools.audit import audit_record
from central.schools.errors import StatusConflict
from central.schools.reach import entity_of, region_expect, steering_expect
from central.schools.transitions import status_move
from federation.errors import FederationError
from federation.trust.fetch import files_size_bytes
from federation.trust.release_bytes import index_build, index_digest, index_files, index_parse, variant_names
from federation.trust.tuf_publisher import signatures_missing, target_publish, targets_read, targets_withdraw
from federation.trust.tuf_roles import changes_waiting
from federation.wire.canonical import canonical_bytes, to_plain
from federation.wire.releases import PatchSet, ReleaseIndex, ReleaseKind

CENTRE = "centre"
BUILD_SILENCE = timedelta(minutes=30)
MAX_WHY = 500
SHORTEST_DIGEST = 8


def release_find(text: str) -> Release:
    """Return the release of this digest, beginning of a digest (8 digits or more), or version.

    Raises:
        ReleaseUnknown: there is none.
    """
    is_digest = len(text) >= SHORTEST_DIGEST
    release = Release.objects.filter(version=int(text)).first() if text.isdecimal() and not is_digest else None
    if is_digest:
        found = list(Release.objects.filter(digest__startswith=text)[:2])
        release = found[0] if len(found) == 1 else None
    if release is None:
        raise ReleaseUnknown(release=text)
    return release


def release_draft_create(
    *,
    kind: ReleaseKindChoice,
    title: str,
    actor: str,
    now: datetime,
    base: Release | None = None,
    checkpoint: str = "",
    has_chat_tuning: bool = False,
    recipe: Recipe | None = None,
) -> Release:
    """Return a new draft with the next version number; a base is made by `recipe`, or as usual.

    Raises:
        BaseNotReady: an adapter's base is missing, no base, or not in force.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    region_expect(actor=actor, region="", entity="releases.release")
    if kind == ReleaseKindChoice.ADAPTER and (base is None or base.kind != "base" or not base.is_in_force):
        raise BaseNotReady(release=base.version if base else "", status=base.status if base else "")
    with transaction.atomic():
        version = (Release.objects.aggregate(newest=Max("version"))["newest"] or 0) + 1
        release = Release.objects.create(
            kind=kind,
            version=version,
            title=title,
            base=base,
            checkpoint=checkpoint,
            has_chat_tuning=has_chat_tuning,
            recipe=recipe.plain() if recipe else {},
            created_by=actor,
            created_at=now,
        )
        audit_record(actor=actor, entity=entity_of(release), old="", new=release.status, reason="", now=now)
    return release


def release_build_begin(*, release: Release, actor: str, now: datetime) -> None:
    """Mark the release as being built by this process."""
    status_move(release, to=ReleaseStatus.BUILDING, actor=actor, now=now, stage_at=now, stage_share=0.0, why="")


def release_progress(*, release: Release, stage: str, share: float, now: datetime) -> None:
    """Record how far the build, or the measuring at the gate, has come; it is also its sign of life."""
    Release.objects.filter(pk=release.pk, status__in=(ReleaseStatus.BUILDING, ReleaseStatus.GATED)).update(
        stage=stage[:80], stage_share=share, stage_at=now
    )


def release_build_fail(*, release: Release, error: FederationError, now: datetime) -> None:
    """Record that nothing came of the build, and why."""
    status_move(
        release, to=ReleaseStatus.BUILD_FAILED, actor=CENTRE, reason=error.code, now=now, why=str(error)[:MAX_WHY]
    )


def release_redraft(*, release: Release, actor: str, now: datetime) -> None:
    """Make a failed build a draft again."""
    status_move(release, to=ReleaseStatus.DRAFT, actor=actor, now=now, why="")


def release_built(
    *,
    release: Release,
    packages: Sequence[BuiltPackage],
    disk: CentreDisk,
    now: datetime,
    contributions: tuple[str, ...] = (),
    progress: Callable[[float], None] = lambda _share: None,
) -> None:
    """Keep the packages' files as blobs and give the release its digest; it now stands at the gate.

    Several packages are variants of a base, the first for every school. A base comes with patches out of the newest one
    before it; `progress` hears how far they are. How a base answered the suites is kept, so that one that a cut leaves
    at the gate can be judged. `contributions` are the digests of the updates that an adapter's round added.

    Raises:
        VariantsDiffer: one adapter could not serve all of them; nothing is kept.
    """
    index, folders = _index_build(release, packages), {each.variant: each.folder for each in packages}
    if release.kind == ReleaseKindChoice.BASE:
        index = replace(index, patches=_patches(release, folders, index, disk, progress))
    files = {variant: index_files(index, variant) for variant in folders}
    store = blob_store(disk)
    for variant, entries in files.items():
        for entry in entries:
            store.put(folders[variant] / entry.path)
    first = packages[0]
    with transaction.atomic():
        status_move(
            release,
            to=ReleaseStatus.GATED,
            actor=CENTRE,
            now=now,
            digest=index_digest(index),
            index_bytes=canonical_bytes(index),
            card=dict(first.card),
            contributions=list(contributions),
            gate_report=by_variant({package.variant: _suite_plain(package) for package in packages}),
            stage="",
            stage_share=1.0,
        )
        _variants_keep(release, index, packages)
        release.files.all().delete()
        ReleaseFile.objects.bulk_create(
            ReleaseFile(
                release=release, variant=variant, path=entry.path, size_bytes=entry.size_bytes, sha256=entry.sha256
            )
            for variant, entries in files.items()
            for entry in entries
        )


def _index_build(release: Release, packages: Sequence[BuiltPackage]) -> ReleaseIndex:
    """Return the index of what was built; a release of one package has no variants."""
    index = index_build(
        package=packages[0].folder,
        kind=ReleaseKind(release.kind),
        version=release.version,
        title=release.title,
        base=release.base.digest if release.base else None,
        contributions=(),
        tensors=tensors_place(packages[0].folder),
    )
    return index if len(packages) == 1 else replace(index, files=(), variants=variants_list(packages))


def _suite_plain(package: BuiltPackage) -> dict[str, Any]:
    return {"suite": to_plain(package.suite)} if package.suite else {}


def _variants_keep(release: Release, index: ReleaseIndex, packages: Sequence[BuiltPackage]) -> None:
    release.variants.all().delete()
    ReleaseVariant.objects.bulk_create(
        ReleaseVariant(
            release=release,
            place=place,
            name=variant.name,
            size_bytes=files_size_bytes(variant.files),
            memory_bytes=variant.memory_bytes,
            gpu_memory_bytes=variant.gpu_memory_bytes,
            card=dict(package.card),
        )
        for place, (variant, package) in enumerate(zip(index.variants, packages, strict=False))
    )


def release_delay(*, release: Release, why: str) -> bool:
    """Record why the release at the gate cannot be judged yet, by an empty `why` that it can; tell if that is new."""
    waiting = Release.objects.filter(pk=release.pk, status=ReleaseStatus.GATED)
    return waiting.exclude(why=why[:MAX_WHY]).update(why=why[:MAX_WHY]) == 1


def release_judge(*, release: Release, judgements: Sequence[Judgement], now: datetime) -> None:
    """Record the gate's verdict with all that was measured, and the very bytes of it that a signature would cover.

    The release has passed only if every one of its packages has.
    """
    reasons = reasons_of(judgements)
    to = ReleaseStatus.REFUSED if reasons else ReleaseStatus.AWAITING_SIGNATURE
    why = "; ".join(reasons)[:MAX_WHY]
    document = verdict_document(digest=release.digest, judgements=judgements, judged_at=now)
    status_move(
        release,
        to=to,
        actor="gate",
        reason=why,
        now=now,
        gate_report=report_plain(judgements),
        verdict_bytes=canonical_bytes(document),
        why=why,
        stage="",
        stage_share=1.0,
    )


def release_sign(*, release: Release, disk: CentreDisk, actor: str, now: datetime) -> None:
    """Publish the gate's verdict and the release's index as TUF targets, signed with the targets key.

    Schools may then be offered the release.

    Raises:
        StatusMoveIllegal: the gate has not passed it.
        BaseNotReady: an adapter's base was withdrawn.
        SignaturesMissing: the targets key is elsewhere; the release becomes ready once it has signed.
        RepositoryMissing, KeyUnreadable: the online keys are not on this machine.
        RoleReadsOnly, OutsideRegion: `actor` is not the whole country's.
    """
    if release.status == ReleaseStatus.READY:
        return
    steering_expect(actor=actor, rows=[release])
    if release.base is not None and not release.base.is_in_force:
        raise BaseNotReady(release=release.base.version, status=release.base.status)
    if release.may_become(ReleaseStatus.READY):
        # Published first: a cut before the status leaves a target that nobody is assigned, and signing can be
        # repeated. The verdict comes before the index, so that whoever trusts an index finds its verdict.
        are_in_force = [
            target_publish(root=disk.tuf, keys=disk.keys, path=path, content=content, now=now)
            for path, content in _targets(release)
        ]
        if not all(are_in_force):
            raise signatures_missing(changes_waiting(root=disk.tuf))
    try:
        status_move(release, to=ReleaseStatus.READY, actor=actor, now=now, published_at=now)
    except StatusConflict:
        # A worker that looks between the targets and the status finds them published, and makes it ready itself.
        release.refresh_from_db()
        if release.status != ReleaseStatus.READY:
            raise


def release_pass_over(*, release: Release, actor: str, reason: str, now: datetime) -> None:
    """Let a release that the gate has passed, and nobody has signed, never ship; `reason` is a code.

    Raises:
        StatusMoveIllegal, StatusConflict: it does not await its signature, or no longer.
    """
    status_move(release, to=ReleaseStatus.REFUSED, actor=actor, reason=reason, now=now, why=reason)


def releases_signed_finish(*, disk: CentreDisk, now: datetime) -> int:
    """Make ready what the targets key has signed elsewhere since; return how many releases."""
    waiting = Release.objects.filter(status=ReleaseStatus.AWAITING_SIGNATURE).select_related("base")
    if not waiting.exists():
        return 0
    published = frozenset(targets_read(root=disk.tuf))
    signed = [
        each for each in waiting if each.target_path in published and (each.base is None or each.base.is_in_force)
    ]
    for release in signed:
        status_move(release, to=ReleaseStatus.READY, actor="targets key", now=now, published_at=now)
    return len(signed)


def release_deprecate(*, release: Release, actor: str, now: datetime) -> None:
    """Keep the release valid, but start nothing new with it."""
    status_move(release, to=ReleaseStatus.DEPRECATED, actor=actor, now=now)


def release_revoke(*, release: Release, disk: CentreDisk, actor: str, reason: str, now: datetime) -> None:
    """Withdraw the release, and with a base its adapters, and their verdicts from TUF's targets.

    No school installs them any more: the director names them no longer at once, and TUF refuses them as soon as the
    targets key has signed, which may be elsewhere and later.
    """
    with transaction.atomic():
        adapters = list(release.adapters.in_force())
        for withdrawn in (release, *adapters):
            status_move(withdrawn, to=ReleaseStatus.REVOKED, actor=actor, reason=reason, now=now)
        withdrawn_releases = (release, *adapters)
        paths = [path for each in withdrawn_releases for path in (each.verdict_path, each.target_path)]
        targets_withdraw(root=disk.tuf, keys=disk.keys, paths=paths, now=now)


def builds_interrupted_fail(*, now: datetime) -> int:
    """Mark builds without a sign of life for half an hour as failed; return how many."""
    silent = Release.objects.filter(status=ReleaseStatus.BUILDING, stage_at__lt=now - BUILD_SILENCE)
    for release in silent:
        release_build_fail(release=release, error=BuildInterrupted(release=release.version), now=now)
    return len(silent)


def _patches(
    release: Release,
    folders: Mapping[str, Path],
    index: ReleaseIndex,
    disk: CentreDisk,
    progress: Callable[[float], None],
) -> tuple[PatchSet, ...]:
    older = Release.objects.in_force().filter(kind=ReleaseKindChoice.BASE).order_by("-version").first()
    if older is None:
        return ()
    older_index = index_parse(bytes(older.index_bytes or b""))
    draft = disk.builds / f"patches-{release.version}"
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = patches_write(
            folders=folders,
            index=index,
            old_folders={
                variant: release_folder(release=older, disk=disk, variant=variant)
                for variant in variant_names(older_index)
                if variant in folders
            },
            old_index=older_index,
            into=draft,
            progress=progress,
        )
        if made is not None:
            blob_store(disk).put(draft)
    finally:
        draft.unlink(missing_ok=True)
    return (made,) if made else ()


def _targets(release: Release) -> list[tuple[str, bytes]]:
    index = (release.target_path, bytes(release.index_bytes or b""))
    # A release that was judged before verdicts were kept has none to sign.
    return [index] if release.verdict_bytes is None else [(release.verdict_path, bytes(release.verdict_bytes)), index]


def release_folder(*, release: Release, disk: CentreDisk, variant: str = "") -> Path:
    """Return a folder with the release's files, or of one variant, by their names, linked to blobs or fetched."""
    folder, store = disk.builds / "released" / release.digest / variant, blob_store(disk)
    for entry in release.files.filter(variant=variant):
        path = folder / entry.path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            store.take(entry.sha256, path)
    return folder
