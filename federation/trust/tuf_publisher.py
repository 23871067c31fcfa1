"""Publish releases as TUF targets: create the repository, publish, withdraw, keep it fresh.

Root is 2-of-3 and, like targets, signed with keys that in production never lie on this machine; snapshot and timestamp
are signed with keys under `keys/online`. Without its key at hand a change is staged and waits (`tuf_changes`).
Source: TUF specification 1.0.33, §4 (formats) and §6.2 (writing consistent snapshots).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Root, Snapshot, TargetFile, Targets, Timestamp

from federation.trust.errors import RepositoryMissing, SignaturesMissing
from federation.trust.key_files import (
    PUBLIC_SUFFIX,
    PublicKey,
    key_file_create,
    key_file_look,
    public_file_read,
)
from federation.trust.keys import (
    KeyUnreadable,
    VerifyingKey,
    key_id,
    node_key_create,
    node_key_load,
    public_key_load,
    public_pem,
)
from federation.trust.tuf_changes import (
    ISSUED_AT_FIELD,
    ONLINE_LIFETIME,
    Waiting,
    changes_settle,
    expiry,
    is_signed_for,
    online_write,
    root_stage,
    targets_stage,
    targets_view,
    timestamp_write,
)
from federation.trust.tuf_files import ONLINE_ROLES, RepositoryFiles, tuf_key

ROOT_KEYS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
DIRECTOR_KEY_FIELD = "x_director_key"
COURIER_KEY_FIELD = "x_courier_key"


def offline_key_path(keys: Path, name: str) -> Path:
    """Return where the key of `root-1`, `root-2`, `root-3` or `targets` lies under `keys`, if it does."""
    return keys / "offline" / f"{name}.pem"


def online_key_path(keys: Path, name: str) -> Path:
    """Return where the first key of `snapshot` or `timestamp` lies under `keys`."""
    return keys / "online" / f"{name}.pem"


def director_key_path(keys: Path) -> Path:
    """Return where the first director's key lies under `keys`; targets metadata vouches for the one in force."""
    return keys / "director.pem"


def courier_key_path(keys: Path) -> Path:
    """Return where the first key lies to which schools seal what they send by stick; targets metadata names it."""
    return keys / "courier.pem"


def repository_create(*, root: Path, keys: Path, now: datetime, public: Path | None = None) -> bytes:
    """Leave keys under `keys` and an empty signed repository under `root`; return its root metadata.

    With `public`, a folder of public halves (`root-1.pub.pem` and so on), no private offline key is made here, and the
    first metadata waits until they have signed. What is there already stays, so that a cut creation can be repeated.

    Raises:
        KeyUnreadable: a key file is there and damaged, or a public half is missing.
        SignaturesMissing: the offline keys have to sign first.
    """
    files = RepositoryFiles(root)
    with files.locked():
        if not files.versions(Root.type) and files.staged_root() is None:
            online = {role: _key_make(online_key_path(keys, role)) for role in ONLINE_ROLES}
            offline = {name: _offline_public(keys, name, public) for name in (*ROOT_KEYS, Targets.type)}
            root_stage(files, _first_root(offline, online, now), now)
        if not files.is_published() and files.staged_targets() is None:
            targets = Targets(version=1, expires=now)
            targets.unrecognized_fields[DIRECTOR_KEY_FIELD] = public_pem(_key_make(director_key_path(keys)))
            targets.unrecognized_fields[COURIER_KEY_FIELD] = _courier_make(courier_key_path(keys))
            targets_stage(files, targets, now)
        waiting = changes_settle(files, keys, now)
        if not files.is_published():
            raise signatures_missing(waiting)
    return root_metadata_read(root)


def root_metadata_read(root: Path) -> bytes:
    """Return the newest root metadata, byte for byte: the root of trust that a school gets at enrolment.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    return RepositoryFiles(root).root_bytes()


def metadata_version_read(root: Path) -> str:
    """Return the versions of the newest root and timestamp, such as `1.17`: equal ones mean that nothing is new.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    files = RepositoryFiles(root)
    timestamp = files.published_timestamp().signed
    return f"{max(files.versions(Root.type))}.{timestamp.version}"


def root_fingerprint(content: bytes) -> str:
    """Return what is printed with a claim code: the SHA-256 of the root metadata in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def director_public(root: Path) -> PublicKey:
    """Return the public half of the director's key in force, which the published targets name.

    Raises:
        RepositoryMissing: nothing is published under `root`.
    """
    pem = str(RepositoryFiles(root).published_targets().signed.unrecognized_fields.get(DIRECTOR_KEY_FIELD))
    public = public_key_load(pem)
    if not isinstance(public, PublicKey):
        raise RepositoryMissing(root=str(root))
    return public


def target_publish(*, root: Path, keys: Path, path: str, content: bytes, now: datetime) -> bool:
    """Let clients that refresh from now on trust and fetch `content` as the target `path`; tell whether they do yet.

    Where the targets key is elsewhere, the change is staged and False is returned until it has signed.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: an online key is not on this machine.
    """
    files = RepositoryFiles(root)
    with files.locked():
        targets, entry = targets_view(files), TargetFile.from_data(path, content, ["sha256"])
        if targets.targets.get(path) != entry:
            files.target_write(path, entry, content)
            targets.targets[path] = entry
            targets_stage(files, targets, now)
        changes_settle(files, keys, now)
        return files.published_targets().signed.targets.get(path) == entry


def targets_withdraw(*, root: Path, keys: Path, paths: Collection[str], now: datetime) -> bool:
    """Let clients that refresh from now on refuse the targets `paths`; tell whether they do yet.

    Ones that were not published are no matter. Without the targets key at hand the withdrawal is staged.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: an online key is not on this machine.
    """
    files = RepositoryFiles(root)
    with files.locked():
        targets = targets_view(files)
        if not targets.targets.keys().isdisjoint(paths):
            targets.targets = {path: entry for path, entry in targets.targets.items() if path not in paths}
            targets_stage(files, targets, now)
        changes_settle(files, keys, now)
        return files.published_targets().signed.targets.keys().isdisjoint(paths)


def targets_read(*, root: Path) -> tuple[str, ...]:
    """Return the paths of all published targets, in order.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    return tuple(sorted(RepositoryFiles(root).published_targets().signed.targets))


def timestamp_refresh(*, root: Path, keys: Path, now: datetime) -> datetime:
    """Sign a new timestamp that says it is `now`, and the snapshot too when half its life is over; return its expiry.

    A publication that a cut has left half done is finished first.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: an online key is not on this machine.
    """
    files = RepositoryFiles(root)
    with files.locked():
        if not files.is_published():
            raise RepositoryMissing(root=str(root))
        changes_settle(files, keys, now)
        trusted = files.published_root()
        if trusted is None:
            raise RepositoryMissing(root=str(root))
        snapshot = files.published_snapshot()
        is_old = snapshot.signed.expires - now < ONLINE_LIFETIME / 2
        if is_old or not is_signed_for(trusted.signed, snapshot):
            version = snapshot.signed.meta["targets.json"].version
            online_write(files, keys, now, root=trusted.signed, targets_version=version)
        else:
            timestamp_write(files, keys, now, root=trusted.signed, snapshot_version=snapshot.signed.version)
        return files.published_timestamp().signed.expires


def online_renew(*, root: Path, keys: Path, now: datetime) -> None:
    """Sign snapshot and timestamp anew, above all that clients have seen: for a repository restored from a backup.

    Targets that clients have seen and the backup lacks stay lost; only their own key can sign the next ones.

    Raises:
        RepositoryMissing: nothing is published under `root`.
        KeyUnreadable: an online key is not on this machine.
    """
    files = RepositoryFiles(root)
    with files.locked():
        trusted = files.published_root()
        if trusted is None:
            raise RepositoryMissing(root=str(root))
        version = files.published_snapshot().signed.meta["targets.json"].version
        online_write(files, keys, now, root=trusted.signed, targets_version=version)


def timestamp_issued_at(*, root: Path) -> datetime:
    """Return when the published timestamp was signed.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    signed = RepositoryFiles(root).published_timestamp().signed
    return datetime.fromisoformat(str(signed.unrecognized_fields[ISSUED_AT_FIELD]))


def metadata_read(*, root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return name and content of all metadata that a client may ask for, in the order in which it is safe to copy them.

    Raises:
        RepositoryMissing: nothing is published under `root`.
    """
    files = RepositoryFiles(root)
    with files.locked():
        return files.published_bytes()


def signatures_missing(waiting: tuple[Waiting, ...]) -> SignaturesMissing:
    """Return the error that says which staged changes wait for whom."""
    return SignaturesMissing(roles=", ".join(f"{each.role} {each.version}" for each in waiting))


def _key_make(path: Path) -> VerifyingKey:
    return (key_file_look(path) if path.exists() else key_file_create(path)).public


def _courier_make(path: Path) -> str:
    return public_pem(node_key_load(path) if path.exists() else node_key_create(path))


def _offline_public(keys: Path, name: str, public: Path | None) -> VerifyingKey:
    if public is None:
        return _key_make(offline_key_path(keys, name))
    return public_file_read(public / f"{name}{PUBLIC_SUFFIX}")


def _first_root(offline: dict[str, VerifyingKey], online: dict[str, VerifyingKey], now: datetime) -> Root:
    root = Root(version=1, expires=expiry(now, ONLINE_LIFETIME), consistent_snapshot=True)
    if len({key_id(public) for public in offline.values()}) < len(offline):
        raise KeyUnreadable(path=", ".join(offline), problem="one key under two names")
    for name in ROOT_KEYS:
        root.add_key(tuf_key(offline[name]), Root.type)
    root.roles[Root.type].threshold = ROOT_THRESHOLD
    root.add_key(tuf_key(offline[Targets.type]), Targets.type)
    for role in (Snapshot.type, Timestamp.type):
        root.add_key(tuf_key(online[role]), role)
    return root
