"""Where release files are kept by their SHA-256: on the centre's disk, or in a bucket that speaks S3; one setting.

A bucket is only a larger disk behind the centre: schools still ask the centre, which passes ranges on. So their
networks need to know one address, and a node whose session has ended gets not a byte more (decision 0025).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from django.conf import settings

from central.disk import CentreDisk
from central.releases.storage import PIECE_BYTES, StoredBlob, blob_path, blob_put
from federation.errors import CapacityError, TransportError
from federation.trust.durable import durable_rename

SERVED_PIECE_BYTES = 64 * 1024
NOT_FOUND = 404


class StorageAway(TransportError):
    """The bucket does not answer, or refuses; `problem` names the kind."""

    code = "storage_away"


class StorageMisnamed(CapacityError):
    """The setting `value` names no place for release files."""

    code = "storage_misnamed"


class BlobDamaged(CapacityError):
    """The bucket holds other bytes under the name `sha256`."""

    code = "blob_damaged"


@dataclass(frozen=True, slots=True)
class Window:
    """The bytes from `start` up to and not including `end`."""

    start: int
    end: int


class BlobStore(Protocol):
    """Something that keeps blobs by the SHA-256 of the whole; each is put once and never changed.

    Every method raises:
        StorageAway: the storage does not answer now.
    """

    def put(self, source: Path) -> StoredBlob:
        """Leave the content of `source` in the store; one that is there already is not written again."""

    def size_bytes(self, sha256: str) -> int | None:
        """Return the blob's length, or None where there is none."""

    def pieces(self, sha256: str, window: Window) -> Iterator[bytes]:
        """Yield the window's bytes in pieces."""

    def take(self, sha256: str, into: Path) -> None:
        """Leave the whole blob at the path `into` on this disk.

        Raises:
            BlobDamaged: the store holds other bytes.
        """


class DiskStore:
    """Blobs under a folder of the centre's disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, source: Path) -> StoredBlob:
        """Copy it durably."""
        return blob_put(root=self._root, source=source)

    def size_bytes(self, sha256: str) -> int | None:
        """Look at the file."""
        try:
            return blob_path(root=self._root, sha256=sha256).stat().st_size
        except FileNotFoundError:
            return None

    def pieces(self, sha256: str, window: Window) -> Iterator[bytes]:
        """Read the file."""
        length = window.end - window.start
        with blob_path(root=self._root, sha256=sha256).open("rb") as stream:
            stream.seek(window.start)
            while length and (piece := stream.read(min(SERVED_PIECE_BYTES, length))):
                length -= len(piece)
                yield piece

    def take(self, sha256: str, into: Path) -> None:
        """Link the file: blobs are never written to again."""
        into.hardlink_to(blob_path(root=self._root, sha256=sha256))


class S3Store:
    """Blobs in a bucket, under the names that they have on a disk."""

    def __init__(self, *, client: Any, bucket: str, prefix: str) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        self._client, self._bucket, self._prefix = client, bucket, prefix

    def put(self, source: Path) -> StoredBlob:
        """Upload it, in parts where it is large; a part that was cut leaves no object."""
        with source.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size_bytes = source.stat().st_size
        if self.size_bytes(sha256) != size_bytes:
            with _wrapped():
                self._client.upload_file(str(source), self._bucket, self._key(sha256))
        return StoredBlob(sha256=sha256, size_bytes=size_bytes)

    def size_bytes(self, sha256: str) -> int | None:
        """Ask for the object's head."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - an embedded centre loads no boto3

        with _wrapped():
            try:
                return int(self._client.head_object(Bucket=self._bucket, Key=self._key(sha256))["ContentLength"])
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == NOT_FOUND:
                    return None
                raise

    def pieces(self, sha256: str, window: Window) -> Iterator[bytes]:
        """Pass the range on as it comes."""
        if window.start == window.end:
            return
        asked = f"bytes={window.start}-{window.end - 1}"
        with _wrapped():
            body = self._client.get_object(Bucket=self._bucket, Key=self._key(sha256), Range=asked)["Body"]
            try:
                yield from body.iter_chunks(SERVED_PIECE_BYTES)
            finally:
                body.close()

    def take(self, sha256: str, into: Path) -> None:
        """Download it beside its name, verify, and only then give it the name."""
        size_bytes = self.size_bytes(sha256) or 0
        temporary, digest = into.with_name(f".{into.name}.tmp"), hashlib.sha256()
        try:
            with temporary.open("wb") as stream:
                for start in range(0, size_bytes, PIECE_BYTES):
                    for piece in self.pieces(sha256, Window(start, min(start + PIECE_BYTES, size_bytes))):
                        digest.update(piece)
                        stream.write(piece)
            if digest.hexdigest() != sha256:
                raise BlobDamaged(sha256=sha256)
            durable_rename(temporary, into)
        finally:
            temporary.unlink(missing_ok=True)

    def _key(self, sha256: str) -> str:
        return f"{self._prefix}{sha256[:2]}/{sha256}"


def blob_store(disk: CentreDisk) -> BlobStore:
    """Return the store that the settings name.

    Raises:
        StorageMisnamed: they name none.
    """
    if not settings.BLOBS_ADDRESS:
        return DiskStore(disk.blobs)
    place = urlsplit(settings.BLOBS_ADDRESS)
    if place.scheme != "s3" or not place.netloc:
        raise StorageMisnamed(value=settings.BLOBS_ADDRESS)
    prefix = f"{place.path.strip('/')}/".lstrip("/")
    return S3Store(client=_client(settings.S3_ENDPOINT), bucket=place.netloc, prefix=prefix)


@functools.lru_cache(maxsize=4)
def _client(endpoint: str) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    import boto3  # noqa: PLC0415 - an embedded centre loads no boto3
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=5,
        read_timeout=30,
        retries={"max_attempts": 3, "mode": "standard"},
        s3={"addressing_style": "path"},
        # Newer checksums are unknown to many servers that speak S3; nodes verify every chunk anyway.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", endpoint_url=endpoint or None, config=config)


@contextmanager
def _wrapped() -> Iterator[None]:
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 - an embedded centre loads no boto3
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise StorageAway(problem=type(error).__name__) from error
