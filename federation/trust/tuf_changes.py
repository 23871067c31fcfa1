"""Change what the offline keys vouch for: stage the next root or targets, gather signatures, publish what is complete.

Rules, in order:
1. A change is staged first. What clients fetch stays as it is until enough keys have signed.
2. Keys that lie on this machine in the clear sign at once; others sign a request elsewhere (`tuf_requests`).
3. A root is published when its own keys and those of the root before it have signed, so that old nodes can follow.
4. A root that gives targets to other keys is published together with targets that those keys have signed.
5. Targets and root are written before the snapshot, and the timestamp, which points at all of it, last.
Source: TUF specification 1.0.33, §5.3 (root), §6.1 (key management and migration).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from federation.trust.errors import RepositoryMissing
from federation.trust.key_files import KeyFile, key_file_open, key_files_find
from federation.trust.keys import DirectorKey, KeyUnreadable
from federation.trust.tuf_files import ONLINE_ROLES, OfflineMetadata, RepositoryFiles, tuf_key
from federation.wire.canonical import sha256_hex

ROOT_LIFETIME = timedelta(days=3650)
TARGETS_LIFETIME = timedelta(days=730)
ONLINE_LIFETIME = timedelta(days=30)
ISSUED_AT_FIELD = "x_issued_at"
VERSIONS_SINCE = datetime(2020, 1, 1, tzinfo=UTC)
"""Seconds since then have nine digits until 2051, as many as readers of metadata's names allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A staged change that lacks signatures."""

    role: str
    version: int
    fingerprint: str
    """SHA-256 of the bytes to sign, to compare aloud between two PCs."""
    signed: tuple[str, ...]
    """Ids of the keys that have signed."""
    may_sign: tuple[str, ...]
    """Ids of the keys whose signature would still count."""
    missing: int
    """How many signatures are missing at least."""


def root_view(files: RepositoryFiles) -> Root:
    """Return the root as it will be once all that is staged is signed.

    Raises:
        RepositoryMissing: there is none.
    """
    found = files.staged_root() or files.published_root()
    if found is None:
        raise RepositoryMissing(root=str(files.root))
    return found.signed


def targets_view(files: RepositoryFiles) -> Targets:
    """Return the targets as they will be once all that is staged is signed.

    Raises:
        RepositoryMissing: there are none.
    """
    return (files.staged_targets() or files.published_targets()).signed


def root_stage(files: RepositoryFiles, root: Root, now: datetime) -> None:
    """Stage `root` as the next one; signatures on an earlier staged one are void."""
    published = files.versions(Root.type)
    root.version = max(published, default=0) + 1
    root.expires = expiry(now, ROOT_LIFETIME)
    files.stage(Metadata(root))


def targets_stage(files: RepositoryFiles, targets: Targets, now: datetime) -> None:
    """Stage `targets` as the next ones; signatures on earlier staged ones are void."""
    # A publication that was cut may have left the next number behind; a number is never written twice.
    targets.version = version_next(max(files.versions(Targets.type), default=0), now)
    targets.expires = expiry(now, TARGETS_LIFETIME)
    files.stage(Metadata(targets))


def changes_settle(files: RepositoryFiles, keys: Path, now: datetime) -> tuple[Waiting, ...]:
    """Publish whatever of the staged is signed, with the keys at hand; return what still waits for signatures.

    Raises:
        KeyUnreadable: an online key is not on this machine; nothing is published.
    """
    while True:
        _published_forget(files)
        _companion_stage(files, now)
        _sign(files, keys)
        if not _publish(files, keys, now):
            return waiting_read(files)


def waiting_read(files: RepositoryFiles) -> tuple[Waiting, ...]:
    """Return what is staged and lacks signatures."""
    found = []
    root, staged_root, staged_targets = files.published_root(), files.staged_root(), files.staged_targets()
    if staged_root is not None:
        found.append(_root_waiting(staged_root, root))
    if staged_targets is not None and (above := staged_root or root):
        found.append(_targets_waiting(staged_targets, above.signed))
    return tuple(found)


def signers_allowed(files: RepositoryFiles, role: str) -> frozenset[str]:
    """Return the ids of the keys whose signature on what is staged for `role` counts, now or under the staged root."""
    roots = [found.signed for found in (files.published_root(), files.staged_root()) if found is not None]
    return frozenset(key for root in roots for key in root.roles[role].keyids)


def signature_add(metadata: OfflineMetadata, key: DirectorKey) -> None:
    """Sign `metadata` with `key` beside the signatures that it has."""
    metadata.sign(CryptoSigner(key, tuf_key(key.public_key())), append=True)


def online_write(files: RepositoryFiles, keys: Path, now: datetime, *, root: Root, targets_version: int) -> None:
    """Publish a snapshot of these targets, and the timestamp that points at it.

    Raises:
        KeyUnreadable: an online key is not on this machine; nothing is published.
    """
    signers = {role: _online_signer(root, keys, role) for role in ONLINE_ROLES}
    version = version_next(max(files.versions(Snapshot.type), default=0), now)
    meta = {"targets.json": MetaFile(version=targets_version)}
    snapshot = Metadata(Snapshot(version=version, expires=expiry(now, ONLINE_LIFETIME), meta=meta))
    snapshot.sign(signers[Snapshot.type])
    files.metadata_write(f"{version}.{Snapshot.type}.json", snapshot.to_bytes())
    _timestamp_write(files, signers[Timestamp.type], now, version)


def timestamp_write(files: RepositoryFiles, keys: Path, now: datetime, *, root: Root, snapshot_version: int) -> None:
    """Publish a timestamp that says it is `now`.

    Raises:
        KeyUnreadable: its key is not on this machine.
    """
    _timestamp_write(files, _online_signer(root, keys, Timestamp.type), now, snapshot_version)


def is_signed_for(root: Root, metadata: Metadata[Snapshot] | Metadata[Targets] | Metadata[Timestamp]) -> bool:
    """Tell whether `metadata` carries the signatures that `root` demands of its role."""
    return root.get_verification_result(metadata.signed.type, metadata.signed_bytes, metadata.signatures).verified


def version_next(version: int, now: datetime) -> int:
    """Return the number of metadata that follows on `version`: the clock's, so that it needs no memory.

    A repository that was restored from a backup would otherwise count again what schools have seen, and they would
    take it for an attack. Root is numbered without gaps, because schools ask for the next one.
    """
    return max(version + 1, int((now - VERSIONS_SINCE).total_seconds()))


def expiry(now: datetime, lifetime: timedelta) -> datetime:
    """Return the end of a life that begins now; TUF's times have whole seconds."""
    return (now.astimezone(UTC) + lifetime).replace(microsecond=0)


def _published_forget(files: RepositoryFiles) -> None:
    """Drop what was published from the stage: a cut may have come between."""
    staged_root, staged_targets = files.staged_root(), files.staged_targets()
    if staged_root is not None and staged_root.signed.version in files.versions(Root.type):
        files.unstage(Root.type)
    if (
        staged_targets is not None
        and files.is_published()
        and staged_targets.signed.version <= files.published_targets().signed.version
    ):
        files.unstage(Targets.type)


def _companion_stage(files: RepositoryFiles, now: datetime) -> None:
    """Stage the published targets once more where the staged root would not take them as they are."""
    staged_root = files.staged_root()
    if staged_root is None or files.staged_targets() is not None or not files.is_published():
        return
    published = files.published_targets()
    if not is_signed_for(staged_root.signed, published):
        targets_stage(files, copy.deepcopy(published.signed), now)


def _sign(files: RepositoryFiles, keys: Path) -> None:
    at_hand = {file.key_id: file for file in key_files_find(keys) if not file.is_encrypted}
    for role, staged in ((Root.type, files.staged_root()), (Targets.type, files.staged_targets())):
        if staged is None:
            continue
        before = set(staged.signatures)
        for key in sorted(signers_allowed(files, role) & at_hand.keys() - before):
            signature_add(staged, _clear_key(at_hand[key]))
        if set(staged.signatures) != before:
            files.stage(staged)


def _publish(files: RepositoryFiles, keys: Path, now: datetime) -> bool:
    """Publish the most of the staged that is signed; tell whether anything was."""
    root, staged_root, staged_targets = files.published_root(), files.staged_root(), files.staged_targets()
    targets = files.published_targets() if files.is_published() else None
    for next_root, next_targets in ((staged_root, staged_targets), (staged_root, None), (None, staged_targets)):
        above, below = next_root or root, next_targets or targets
        if (next_root, next_targets) == (None, None) or above is None or below is None:
            continue
        if next_root is None and staged_root is not None and _is_the_same(below, targets):
            # A companion: published without its root it would only be staged again, for ever.
            continue
        if next_root is not None and not _is_root_signed(next_root, root):
            continue
        if is_signed_for(above.signed, below):
            _published_write(files, keys, now, above=above, below=below, roles=_roles(next_root, next_targets))
            return True
    return False


def _is_the_same(staged: Metadata[Targets], published: Metadata[Targets] | None) -> bool:
    """Tell whether the staged targets say nothing new but their version and expiry."""
    if published is None:
        return False
    one, other = staged.signed, published.signed
    return (one.targets, one.unrecognized_fields) == (other.targets, other.unrecognized_fields)


def _roles(*staged: Metadata[Root] | Metadata[Targets] | None) -> tuple[str, ...]:
    return tuple(metadata.signed.type for metadata in staged if metadata is not None)


def _published_write(
    files: RepositoryFiles,
    keys: Path,
    now: datetime,
    *,
    above: Metadata[Root],
    below: Metadata[Targets],
    roles: tuple[str, ...],
) -> None:
    for role in ONLINE_ROLES:
        # A root whose online keys are elsewhere would leave all schools without a timestamp.
        _online_signer(above.signed, keys, role)
    if Targets.type in roles:
        files.metadata_write(f"{below.signed.version}.{Targets.type}.json", below.to_bytes())
    if Root.type in roles:
        files.metadata_write(f"{above.signed.version}.{Root.type}.json", above.to_bytes())
    online_write(files, keys, now, root=above.signed, targets_version=below.signed.version)
    for role in roles:
        files.unstage(role)


def _timestamp_write(files: RepositoryFiles, signer: CryptoSigner, now: datetime, snapshot_version: int) -> None:
    version = version_next(files.published_timestamp().signed.version if files.is_published() else 0, now)
    timestamp = Metadata(
        Timestamp(
            version=version,
            expires=expiry(now, ONLINE_LIFETIME),
            snapshot_meta=MetaFile(version=snapshot_version),
            unrecognized_fields={ISSUED_AT_FIELD: now.astimezone(UTC).isoformat(timespec="seconds")},
        )
    )
    timestamp.sign(signer)
    files.metadata_write("timestamp.json", timestamp.to_bytes())


def _online_signer(root: Root, keys: Path, role: str) -> CryptoSigner:
    wanted = set(root.roles[role].keyids)
    for file in key_files_find(keys):
        if file.key_id in wanted and not file.is_encrypted:
            key = _clear_key(file)
            return CryptoSigner(key, tuf_key(key.public_key()))
    raise KeyUnreadable(path=str(keys), problem=f"no key of {role} lies here")


def _clear_key(file: KeyFile) -> DirectorKey:
    return key_file_open(file, passphrase=lambda _path: "")


def _is_root_signed(root: Metadata[Root], before: Metadata[Root] | None) -> bool:
    previous = before.signed if before is not None else None
    return root.signed.get_root_verification_result(previous, root.signed_bytes, root.signatures).verified


def _root_waiting(root: Metadata[Root], before: Metadata[Root] | None) -> Waiting:
    previous = before.signed if before is not None else None
    result = root.signed.get_root_verification_result(previous, root.signed_bytes, root.signatures)
    return Waiting(
        role=Root.type,
        version=root.signed.version,
        fingerprint=sha256_hex(root.signed_bytes),
        signed=tuple(sorted(result.signed)),
        may_sign=tuple(sorted(result.unsigned)),
        missing=max(result.first.missing, result.second.missing),
    )


def _targets_waiting(targets: Metadata[Targets], root: Root) -> Waiting:
    result = root.get_verification_result(Targets.type, targets.signed_bytes, targets.signatures)
    return Waiting(
        role=Targets.type,
        version=targets.signed.version,
        fingerprint=sha256_hex(targets.signed_bytes),
        signed=tuple(sorted(result.signed)),
        may_sign=tuple(sorted(result.unsigned)),
        missing=result.missing,
    )
