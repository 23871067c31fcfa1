"""Publish releases as TUF targets: create the repository, publish, withdraw, keep it fresh.

Root is 2-of-3 and, like targets, signed with keys under `keys/offline`, which leave the machine once signing is done
elsewhere; snapshot and timestamp are signed with keys under `keys/online`. Files are written so that a client meets
the old state or the new one: targets, then snapshot, then the timestamp that points at both.
Source: TUF specification 1.0.33, §4 (formats) and §6.2 (writing consistent snapshots).
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from federation.trust.durable import durable_write
from federation.trust.errors import RepositoryMissing
from federation.trust.keys import (
    director_key_create,
    director_key_load,
    node_key_create,
    node_key_load,
    public_pem,
)

SignedT = TypeVar("SignedT", Targets, Snapshot, Timestamp)
ROOT_LIFETIME = timedelta(days=3650)
TARGETS_LIFETIME = timedelta(days=730)
ONLINE_LIFETIME = timedelta(days=30)
ROOT_KEYS = ("root-1", "root-2", "root-3")
ROOT_THRESHOLD = 2
DIRECTOR_KEY_FIELD = "x_director_key"
COURIER_KEY_FIELD = "x_courier_key"
ISSUED_AT_FIELD = "x_issued_at"


def offline_key_path(keys: Path, name: str) -> Path:
    """Return where the key of `root-1`, `root-2`, `root-3` or `targets` lies under `keys`."""
    return keys / "offline" / f"{name}.pem"


def online_key_path(keys: Path, name: str) -> Path:
    """Return where the key of `snapshot` or `timestamp` lies under `keys`."""
    return keys / "online" / f"{name}.pem"


def director_key_path(keys: Path) -> Path:
    """Return where the director's key lies under `keys`; targets metadata vouches for it."""
    return keys / "director.pem"


def courier_key_path(keys: Path) -> Path:
    """Return where the key lies to which schools seal what they send by stick; targets metadata vouches for it."""
    return keys / "courier.pem"


def repository_create(*, root: Path, keys: Path, now: datetime) -> bytes:
    """Leave keys under `keys` and an empty signed repository under `root`; return its root metadata.

    What is there already stays as it is, so that a creation that was cut can be repeated.

    Raises:
        KeyUnreadable: a key file is there and damaged.
    """
    _keys_create(keys)
    with _locked(root):
        if not _versions(root, Root.type):
            _write(root, f"1.{Root.type}.json", _root_signed(keys, now))
        if not _versions(root, Targets.type):
            targets = Targets(version=1, expires=_expiry(now, TARGETS_LIFETIME))
            _targets_write(root, keys, targets)
        if not (root / "metadata" / "timestamp.json").exists():
            _snapshot_and_timestamp_write(root, keys, now, targets_version=_newest(root, Targets.type))
    return root_metadata_read(root)


def root_metadata_read(root: Path) -> bytes:
    """Return the newest root metadata, byte for byte: the root of trust that a school gets at enrolment.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    return (root / "metadata" / f"{_newest(root, Root.type)}.{Root.type}.json").read_bytes()


def root_fingerprint(content: bytes) -> str:
    """Return what is printed with a claim code: the SHA-256 of the root metadata in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def target_publish(*, root: Path, keys: Path, path: str, content: bytes, now: datetime) -> None:
    """Let clients that refresh from now on trust and fetch `content` as the target `path`.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: the targets key or an online key is not on this machine.
    """
    with _locked(root):
        targets = _published_targets(root)
        entry = TargetFile.from_data(path, content, ["sha256"])
        if targets.targets.get(path) != entry:
            pure = PurePosixPath(path)
            file = root / "targets" / pure.parent / f"{entry.hashes['sha256']}.{pure.name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            durable_write(file, content)
            targets.targets[path] = entry
            _targets_advance(root, keys, targets, now)


def targets_withdraw(*, root: Path, keys: Path, paths: Collection[str], now: datetime) -> None:
    """Let clients that refresh from now on refuse the targets `paths`; ones that were not published are no matter.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: the targets key or an online key is not on this machine.
    """
    with _locked(root):
        targets = _published_targets(root)
        if not targets.targets.keys().isdisjoint(paths):
            targets.targets = {path: entry for path, entry in targets.targets.items() if path not in paths}
            _targets_advance(root, keys, targets, now)


def targets_read(*, root: Path) -> tuple[str, ...]:
    """Return the paths of all published targets, in order.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    return tuple(sorted(_published_targets(root).targets))


def metadata_read(*, root: Path) -> tuple[tuple[str, bytes], ...]:
    """Return name and content of all metadata that a client may ask for, in the order in which it is safe to copy them.

    Raises:
        RepositoryMissing: nothing was created under `root`.
    """
    with _locked(root):
        snapshot = _published_snapshot(root)
        names = [f"{version}.{Root.type}.json" for version in sorted(_versions(root, Root.type))]
        names += [f"{snapshot.meta['targets.json'].version}.targets.json", f"{snapshot.version}.snapshot.json"]
        return tuple((name, _metadata_read(root, name)) for name in (*names, "timestamp.json"))


def timestamp_refresh(*, root: Path, keys: Path, now: datetime) -> datetime:
    """Sign a new timestamp that says it is `now`, and the snapshot too when half its life is over; return its expiry.

    Raises:
        RepositoryMissing: nothing was created under `root`.
        KeyUnreadable: an online key is not on this machine.
    """
    with _locked(root):
        snapshot = _published_snapshot(root)
        if snapshot.expires - now < ONLINE_LIFETIME / 2:
            version = snapshot.meta["targets.json"].version
            _snapshot_and_timestamp_write(root, keys, now, targets_version=version)
        else:
            _timestamp_write(root, keys, now, snapshot_version=snapshot.version)
        return _timestamp_read(root).expires


def _keys_create(keys: Path) -> None:
    wanted = [offline_key_path(keys, name) for name in (*ROOT_KEYS, Targets.type)]
    wanted += [online_key_path(keys, name) for name in (Snapshot.type, Timestamp.type)]
    for path in (*wanted, director_key_path(keys)):
        if not path.exists():
            director_key_create(path)
    if not courier_key_path(keys).exists():
        node_key_create(courier_key_path(keys))


def _signer(path: Path) -> CryptoSigner:
    return CryptoSigner(director_key_load(path))


def _role_signer(keys: Path, role: str) -> CryptoSigner:
    return _signer((offline_key_path if role == Targets.type else online_key_path)(keys, role))


def _root_signed(keys: Path, now: datetime) -> bytes:
    signed = Root(version=1, expires=_expiry(now, ROOT_LIFETIME), consistent_snapshot=True)
    signers = [_signer(offline_key_path(keys, name)) for name in ROOT_KEYS]
    for signer in signers:
        signed.add_key(_public(signer), Root.type)
    signed.roles[Root.type].threshold = ROOT_THRESHOLD
    for role in (Targets.type, Snapshot.type, Timestamp.type):
        signed.add_key(_public(_role_signer(keys, role)), role)
    metadata = Metadata(signed)
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _public(signer: CryptoSigner) -> Key:
    return signer.public_key


def _targets_advance(root: Path, keys: Path, targets: Targets, now: datetime) -> None:
    # A publication that was cut may have left the next number behind; a number is never written twice.
    targets.version = _newest(root, Targets.type) + 1
    targets.expires = _expiry(now, TARGETS_LIFETIME)
    _targets_write(root, keys, targets)
    _snapshot_and_timestamp_write(root, keys, now, targets_version=targets.version)


def _targets_write(root: Path, keys: Path, targets: Targets) -> None:
    director = director_key_load(director_key_path(keys))
    targets.unrecognized_fields[DIRECTOR_KEY_FIELD] = public_pem(director)
    targets.unrecognized_fields[COURIER_KEY_FIELD] = public_pem(node_key_load(courier_key_path(keys)))
    _sign_and_write(root, keys, targets, f"{targets.version}.targets.json")


def _snapshot_and_timestamp_write(root: Path, keys: Path, now: datetime, *, targets_version: int) -> None:
    meta = {"targets.json": MetaFile(version=targets_version)}
    version = max(_versions(root, Snapshot.type), default=0) + 1
    snapshot = Snapshot(version=version, expires=_expiry(now, ONLINE_LIFETIME), meta=meta)
    _sign_and_write(root, keys, snapshot, f"{version}.snapshot.json")
    _timestamp_write(root, keys, now, snapshot_version=version)


def _timestamp_write(root: Path, keys: Path, now: datetime, *, snapshot_version: int) -> None:
    is_first = not (root / "metadata" / "timestamp.json").exists()
    timestamp = Timestamp(
        version=1 if is_first else _timestamp_read(root).version + 1,
        expires=_expiry(now, ONLINE_LIFETIME),
        snapshot_meta=MetaFile(version=snapshot_version),
        unrecognized_fields={ISSUED_AT_FIELD: now.astimezone(UTC).isoformat(timespec="seconds")},
    )
    _sign_and_write(root, keys, timestamp, "timestamp.json")


def _sign_and_write(root: Path, keys: Path, signed: SignedT, name: str) -> None:
    metadata = Metadata(signed)
    metadata.sign(_role_signer(keys, signed.type))
    _write(root, name, metadata.to_bytes())


def _write(root: Path, name: str, content: bytes) -> None:
    durable_write(root / "metadata" / name, content)


def _published_targets(root: Path) -> Targets:
    version = _published_snapshot(root).meta["targets.json"].version
    return Metadata[Targets].from_bytes(_metadata_read(root, f"{version}.targets.json")).signed


def _published_snapshot(root: Path) -> Snapshot:
    version = _timestamp_read(root).snapshot_meta.version
    return Metadata[Snapshot].from_bytes(_metadata_read(root, f"{version}.snapshot.json")).signed


def _timestamp_read(root: Path) -> Timestamp:
    return Metadata[Timestamp].from_bytes(_metadata_read(root, "timestamp.json")).signed


def _metadata_read(root: Path, name: str) -> bytes:
    try:
        return (root / "metadata" / name).read_bytes()
    except FileNotFoundError as error:
        raise RepositoryMissing(root=str(root)) from error


def _newest(root: Path, role: str) -> int:
    versions = _versions(root, role)
    if not versions:
        raise RepositoryMissing(root=str(root))
    return max(versions)


def _versions(root: Path, role: str) -> list[int]:
    names = (path.name.split(".")[0] for path in (root / "metadata").glob(f"[0-9]*.{role}.json"))
    return [int(name) for name in names]


def _expiry(now: datetime, lifetime: timedelta) -> datetime:
    # TUF times have whole seconds.
    return (now.astimezone(UTC) + lifetime).replace(microsecond=0)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the repository: the web process and the worker both publish and refresh."""
    (root / "metadata").mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
