"""Follow the centre's TUF metadata: which releases are trusted, what is in them, who directs.

python-tuf verifies; here its transport is an httpx client, its files survive a power cut, and its clock has a floor
that signed metadata raises, because a school's PC may wake up in 1970. What was last trusted can be read dark.
An expired or older timestamp stops the new; it says nothing about what is installed.
Source: TUF specification 1.0.33, §5 (client workflow).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tuf.api import exceptions
from tuf.api.metadata import TargetFile, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater

from federation.errors import FederationError
from federation.trust.durable import durable_write
from federation.trust.errors import (
    CourierUnknown,
    DirectorUnknown,
    MetadataDamaged,
    MetadataExpired,
    MetadataRolledBack,
    MetadataUnreachable,
    MetadataUnsigned,
    ReleaseNotTrusted,
    WrongRoot,
)
from federation.trust.keys import UnsuitableKey, VerifyingKey, public_key_load
from federation.trust.release_bytes import index_parse
from federation.trust.tuf_changes import ISSUED_AT_FIELD
from federation.trust.tuf_publisher import COURIER_KEY_FIELD, DIRECTOR_KEY_FIELD, root_fingerprint
from federation.wire.canonical import MalformedDocument, canonical_bytes, parse
from federation.wire.releases import ReleaseIndex, ReleaseKind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TARGET_PREFIX, PROGRAM_PREFIX = "releases/", "programs/"
TARGET_SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """What the last successful refresh vouched for."""

    time_floor: datetime
    """The real time is not before this: the newest `x_issued_at` or session time that was seen signed."""
    issued_at: datetime
    """When the centre signed the metadata."""
    releases: tuple[str, ...]
    """Digests of the releases in TUF's targets, in order."""
    director_key: str
    """PEM; empty until a first refresh."""
    courier_key: str
    """PEM of the key to which schools seal what they send by stick; empty until a first refresh."""
    version: str = ""
    """Of the root and the timestamp, such as `1.17`; empty until a first refresh."""
    expires_at: datetime = EPOCH
    """When the first of the metadata expires."""
    programs: tuple[str, ...] = ()
    """Digests of the programs in TUF's targets, in order."""


def target_path(digest: str) -> str:
    """Return the TUF target path of the release with this digest."""
    return f"{TARGET_PREFIX}{digest}{TARGET_SUFFIX}"


def program_path(digest: str) -> str:
    """Return the TUF target path of the program with this digest."""
    return f"{PROGRAM_PREFIX}{digest}{TARGET_SUFFIX}"


def root_accept(*, root: Path, metadata: bytes, fingerprint: str) -> None:
    """Make `metadata` the root of trust kept under `root`, if it is the one whose fingerprint was printed.

    Raises:
        WrongRoot: the SHA-256 of `metadata` is not `fingerprint`.
    """
    found = root_fingerprint(metadata)
    if found != fingerprint.strip().lower():
        raise WrongRoot(expected=fingerprint.strip().lower(), found=found)
    root.mkdir(parents=True, exist_ok=True)
    durable_write(_bootstrap_path(root), metadata)


def trusted_read(root: Path) -> Trusted:
    """Return what the last successful refresh under `root` vouched for; nothing before the first."""
    try:
        return parse(Trusted, (root / "trusted.json").read_bytes())
    except (FileNotFoundError, MalformedDocument):
        return Trusted(time_floor=EPOCH, issued_at=EPOCH, releases=(), director_key="", courier_key="")


def trusted_issued_at(root: Path) -> datetime | None:
    """Return when the centre signed the newest metadata that is trusted under `root`; None before a first refresh."""
    issued_at = trusted_read(root).issued_at
    return issued_at if issued_at > EPOCH else None


def time_floor(root: Path) -> datetime:
    """Return the moment before which it cannot be now, by all that was seen signed under `root`."""
    return trusted_read(root).time_floor


class TrustedReleases:
    """The centre's releases as far as signed metadata vouches for them; keeps its files under `root`."""

    def __init__(self, *, root: Path, base_url: str, client: httpx.Client) -> None:
        """Take the root of trust that `root_accept` left under `root`; `base_url` is the centre's own."""
        self._root = root
        self._base_url = base_url.rstrip("/")
        self._client = client
        self._updater: Updater | None = None
        self._trusted = trusted_read(root)

    @property
    def trusted(self) -> Trusted:
        """What the last successful refresh vouched for, also after a restart and without a link."""
        return self._trusted

    @property
    def director_key(self) -> VerifyingKey:
        """The key that signs assignments and round plans.

        Raises:
            DirectorUnknown: there was no successful refresh yet.
        """
        if not self._trusted.director_key:
            raise DirectorUnknown
        return public_key_load(self._trusted.director_key)

    def time_hear(self, said: datetime) -> None:
        """Raise the floor of time to `said`, which the director has signed."""
        if said > self._trusted.time_floor:
            self._trusted = replace(self._trusted, time_floor=said)
            durable_write(self._root / "trusted.json", canonical_bytes(self._trusted))

    @property
    def courier_key(self) -> VerifyingKey:
        """The key to which everything for the centre is sealed that travels by stick.

        Raises:
            CourierUnknown: no metadata that names it was trusted yet.
        """
        if not self._trusted.courier_key:
            raise CourierUnknown
        return public_key_load(self._trusted.courier_key)

    def is_current(self, *, version: str, now: datetime) -> bool:
        """Tell whether the last refresh brought the metadata of this `version`, and none of it has expired since.

        The word for it is the centre's alone and unsigned: it can hide what is new no longer than the timestamp lasts.
        """
        return bool(version) and version == self._trusted.version and now < self._trusted.expires_at

    def refresh(self, *, now: datetime) -> tuple[str, ...]:
        """Bring the trusted metadata up to date and return the digests of the releases that it holds.

        After a refusal everything that was trusted before stays so.

        Raises:
            MetadataUnreachable: the link or the centre failed.
            MetadataExpired: the newest metadata at hand is past its expiry at `now` or at the floor of time.
            MetadataRolledBack: it is older than what was trusted before.
            MetadataUnsigned: signatures are missing or false.
            MetadataDamaged: it cannot be read or does not match its parent.
        """
        reference_time = max(now, self._trusted.time_floor)
        try:
            updater = _DurableUpdater(
                root=self._root,
                base_url=self._base_url,
                fetcher=_HttpxFetcher(self._client),
                reference_time=reference_time,
            )
            updater.refresh()
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise _refusal(error, reference_time) from error
        self._trusted = _trusted_from(updater, self._trusted.time_floor)
        self._updater = updater
        durable_write(self._root / "trusted.json", canonical_bytes(self._trusted))
        return self._trusted.releases

    def index_fetch(self, digest: str) -> ReleaseIndex:
        """Return the index of the trusted release `digest`, fetched and verified, or taken from an earlier fetch.

        Raises:
            ReleaseNotTrusted: targets do not hold it, or nothing was refreshed since this object was made.
            MetadataUnreachable: the link or the centre failed.
            MetadataDamaged: what came is not what targets vouch for.
            MalformedDocument: what targets vouch for is no release index.
        """
        index = self._index_fetch(digest, target_path(digest), self._trusted.releases)
        if index.kind is ReleaseKind.PROGRAM:
            raise ReleaseNotTrusted(release=digest)
        return index

    def program_fetch(self, digest: str) -> ReleaseIndex:
        """Return the index of the trusted program `digest`, as `index_fetch` does of a release.

        Raises:
            ReleaseNotTrusted, MetadataUnreachable, MetadataDamaged, MalformedDocument: as `index_fetch`.
        """
        index = self._index_fetch(digest, program_path(digest), self._trusted.programs)
        if index.kind is not ReleaseKind.PROGRAM:
            raise ReleaseNotTrusted(release=digest)
        return index

    def _index_fetch(self, digest: str, path: str, trusted: Collection[str]) -> ReleaseIndex:
        if self._updater is None or digest not in trusted:
            raise ReleaseNotTrusted(release=digest)
        kept = self._root / "indexes" / f"{digest}.json"
        if not (kept.exists() and hashlib.sha256(kept.read_bytes()).hexdigest() == digest):
            kept.parent.mkdir(exist_ok=True)
            self._target_download(self._updater, digest, path, kept)
        content = kept.read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            raise MetadataDamaged(problem="target is not the release it is named after", release=digest)
        return index_parse(content)

    def _target_download(self, updater: Updater, digest: str, path: str, into: Path) -> None:
        try:
            target = updater.get_targetinfo(path)
            if target is None:
                raise ReleaseNotTrusted(release=digest)
            updater.download_target(target, str(into))
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise _refusal(error, None) from error


class _DurableUpdater(Updater):
    """python-tuf's updater with a clock of the caller's and files that a power cut cannot halve.

    Both touch what python-tuf calls private (7.0.1): tests/trust/test_tuf.py fails when an upgrade moves them.
    """

    def __init__(self, *, root: Path, base_url: str, fetcher: FetcherInterface, reference_time: datetime) -> None:
        bootstrap = _bootstrap_path(root)
        if not bootstrap.exists():
            raise WrongRoot(expected="", found="")
        metadata = root / "metadata"
        metadata.mkdir(parents=True, exist_ok=True)
        super().__init__(
            str(metadata),
            f"{base_url}/tuf/metadata/",
            target_base_url=f"{base_url}/tuf/targets/",
            fetcher=fetcher,
            bootstrap=bootstrap.read_bytes(),
        )
        self._trusted_set.reference_time = reference_time

    def _persist_file(self, filename: str, data: bytes) -> None:
        durable_write(Path(filename), data)

    def timestamp(self) -> Timestamp:
        return self._trusted_set.timestamp

    def targets(self) -> Targets:
        return self._trusted_set.targets

    def version(self) -> str:
        return f"{self._trusted_set.root.version}.{self._trusted_set.timestamp.version}"

    def expires_at(self) -> datetime:
        held = self._trusted_set
        return min(signed.expires for signed in (held.root, held.timestamp, held.snapshot, held.targets))


class _HttpxFetcher(FetcherInterface):
    """Fetches for python-tuf through the node's own HTTP client."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            # Raw bytes, so that what python-tuf counts against a file's allowed length is what crosses the link.
            with self._client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise exceptions.DownloadHTTPError(url, answer.status_code)
                yield from answer.iter_raw()
        except httpx.HTTPError as error:
            raise exceptions.DownloadError(url) from error


def _bootstrap_path(root: Path) -> Path:
    return root / "bootstrap.root.json"


def _trusted_from(updater: _DurableUpdater, time_floor: datetime) -> Trusted:
    targets = updater.targets()
    director_key = targets.unrecognized_fields.get(DIRECTOR_KEY_FIELD)
    courier_key = targets.unrecognized_fields.get(COURIER_KEY_FIELD)
    try:
        public_key_load(str(director_key))
        public_key_load(str(courier_key))
    except UnsuitableKey as error:
        raise MetadataDamaged(problem="targets name no director or courier key") from error
    issued_at = _issued_at(updater.timestamp())
    return Trusted(
        time_floor=max(time_floor, issued_at),
        issued_at=issued_at,
        releases=_digests(targets, TARGET_PREFIX),
        programs=_digests(targets, PROGRAM_PREFIX),
        director_key=str(director_key),
        courier_key=str(courier_key),
        version=updater.version(),
        expires_at=updater.expires_at(),
    )


def _digests(targets: Targets, prefix: str) -> tuple[str, ...]:
    found = (_digest(path, entry, prefix) for path, entry in targets.targets.items())
    return tuple(sorted(filter(None, found)))


def _digest(path: str, entry: TargetFile, prefix: str) -> str:
    """Return the digest of the release or program whose index this target is, or nothing.

    A target under a release's name with another hash is not that release, whoever signed it.
    """
    if not (path.startswith(prefix) and path.endswith(TARGET_SUFFIX)):
        return ""
    digest = path.removeprefix(prefix).removesuffix(TARGET_SUFFIX)
    return digest if entry.hashes.get("sha256") == digest else ""


def _issued_at(timestamp: Timestamp) -> datetime:
    try:
        issued_at = datetime.fromisoformat(str(timestamp.unrecognized_fields.get(ISSUED_AT_FIELD)))
    except ValueError:
        return EPOCH
    # A claim to be signed after its own expiry is nonsense, and would push the floor past all other metadata.
    return issued_at if issued_at.tzinfo and issued_at <= timestamp.expires else EPOCH


def _refusal(error: Exception, reference_time: datetime | None) -> FederationError:
    problem = str(error)[:200]
    if isinstance(error, exceptions.DownloadError) and not isinstance(error, exceptions.DownloadLengthMismatchError):
        # Longer than it may be is an attack or a fault of the centre's, and no link that is away: damaged, below.
        return MetadataUnreachable(status=error.status_code if isinstance(error, exceptions.DownloadHTTPError) else 0)
    if isinstance(error, exceptions.ExpiredMetadataError):
        return MetadataExpired(problem=problem, at=reference_time.isoformat() if reference_time else "")
    if isinstance(error, exceptions.BadVersionNumberError):
        return MetadataRolledBack(problem=problem)
    if isinstance(error, exceptions.UnsignedMetadataError):
        return MetadataUnsigned(problem=problem)
    return MetadataDamaged(problem=problem)
