"""The files of a TUF repository: what is published, what is staged until enough keys have signed it, and one lock.

`metadata/` and `targets/` are what clients fetch. `staged/` holds at most one next root and one next targets; no
client sees them. A version number that was published once is never written with other bytes.
Source: TUF specification 1.0.33, §6.2 (writing consistent snapshots).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from federation.trust.durable import directory_flush, durable_write
from federation.trust.errors import MetadataDamaged, RepositoryMissing
from federation.trust.keys import VerifyingKey, key_id

OFFLINE_ROLES = (Root.type, Targets.type)
ONLINE_ROLES = (Snapshot.type, Timestamp.type)
OfflineMetadata: TypeAlias = Metadata[Root] | Metadata[Targets]


def tuf_key(public: VerifyingKey) -> SSlibKey:
    """Return the key as TUF's metadata spells it, under the id that it has everywhere else here."""
    return SSlibKey.from_crypto(public, keyid=key_id(public))


def root_parse(content: bytes) -> Metadata[Root]:
    """Return the root that `content` spells.

    Raises:
        MetadataDamaged: it spells none.
    """
    with _damage_named("root"):
        return Metadata[Root].from_bytes(content)


def targets_parse(content: bytes) -> Metadata[Targets]:
    """Return the targets that `content` spells.

    Raises:
        MetadataDamaged: it spells none.
    """
    with _damage_named("targets"):
        return Metadata[Targets].from_bytes(content)


class RepositoryFiles:
    """The repository under `root`; makes no decision.

    Whatever reads metadata raises:
        MetadataDamaged: a file here is not what its name says.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._metadata = root / "metadata"
        self._staged = root / "staged"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the repository: the web process, the worker and commands all publish and refresh."""
        self._metadata.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def versions(self, role: str) -> list[int]:
        """Return the numbers that were ever written for the role, in order."""
        names = (path.name.split(".")[0] for path in self._metadata.glob(f"[0-9]*.{role}.json"))
        return sorted(int(name) for name in names)

    def root_bytes(self, version: int | None = None) -> bytes:
        """Return the root of this version, or the newest, byte for byte.

        Raises:
            RepositoryMissing: there is none.
        """
        newest = max(self.versions(Root.type), default=0) if version is None else version
        return self._read(f"{newest}.{Root.type}.json")

    def published_root(self) -> Metadata[Root] | None:
        """Return the newest root, or None before the first."""
        return root_parse(self.root_bytes()) if self.versions(Root.type) else None

    def published_timestamp(self) -> Metadata[Timestamp]:
        """Return the timestamp.

        Raises:
            RepositoryMissing: nothing is published yet.
        """
        with _damage_named("timestamp"):
            return Metadata[Timestamp].from_bytes(self._read("timestamp.json"))

    def published_snapshot(self) -> Metadata[Snapshot]:
        """Return the snapshot that the timestamp names.

        Raises:
            RepositoryMissing: nothing is published yet.
        """
        version = self.published_timestamp().signed.snapshot_meta.version
        with _damage_named("snapshot"):
            return Metadata[Snapshot].from_bytes(self._read(f"{version}.{Snapshot.type}.json"))

    def published_targets(self) -> Metadata[Targets]:
        """Return the targets that the snapshot names.

        Raises:
            RepositoryMissing: nothing is published yet.
        """
        version = self.published_snapshot().signed.meta["targets.json"].version
        return targets_parse(self._read(f"{version}.{Targets.type}.json"))

    def published_bytes(self) -> tuple[tuple[str, bytes], ...]:
        """Return name and content of all that clients may ask for: every root, and what the timestamp leads to.

        Raises:
            RepositoryMissing: nothing is published yet.
        """
        snapshot = self.published_timestamp().signed.snapshot_meta.version
        targets = self.published_snapshot().signed.meta["targets.json"].version
        names = [f"{version}.{Root.type}.json" for version in self.versions(Root.type)]
        names += [f"{targets}.{Targets.type}.json", f"{snapshot}.{Snapshot.type}.json", "timestamp.json"]
        return tuple((name, self._read(name)) for name in names)

    def is_published(self) -> bool:
        """Tell whether clients find a repository here."""
        return (self._metadata / "timestamp.json").exists()

    def metadata_write(self, name: str, content: bytes) -> None:
        """Leave `content` where clients fetch it."""
        durable_write(self._metadata / name, content)

    def target_write(self, path: str, entry: TargetFile, content: bytes) -> None:
        """Leave a target's content under the name that its hash gives it; nobody trusts it for that."""
        pure = PurePosixPath(path)
        file = self.root / "targets" / pure.parent / f"{entry.hashes['sha256']}.{pure.name}"
        file.parent.mkdir(parents=True, exist_ok=True)
        durable_write(file, content)

    def staged_bytes(self, role: str) -> bytes | None:
        """Return what is staged for the role with the signatures so far, or None."""
        try:
            return (self._staged / f"{role}.json").read_bytes()
        except FileNotFoundError:
            return None

    def staged_root(self) -> Metadata[Root] | None:
        """Return the staged root, or None."""
        content = self.staged_bytes(Root.type)
        return root_parse(content) if content else None

    def staged_targets(self) -> Metadata[Targets] | None:
        """Return the staged targets, or None."""
        content = self.staged_bytes(Targets.type)
        return targets_parse(content) if content else None

    def stage(self, metadata: OfflineMetadata) -> None:
        """Keep `metadata` until it is signed."""
        self._staged.mkdir(parents=True, exist_ok=True)
        durable_write(self._staged / f"{metadata.signed.type}.json", metadata.to_bytes())

    def unstage(self, role: str) -> None:
        """Forget what was staged for the role."""
        (self._staged / f"{role}.json").unlink(missing_ok=True)
        if self._staged.exists():
            directory_flush(self._staged)

    def _read(self, name: str) -> bytes:
        try:
            return (self._metadata / name).read_bytes()
        except FileNotFoundError as error:
            raise RepositoryMissing(root=str(self.root)) from error


@contextmanager
def _damage_named(role: str) -> Iterator[None]:
    try:
        yield
    except RepositoryError as error:
        raise MetadataDamaged(problem=f"{role}: {error}"[:200]) from error
