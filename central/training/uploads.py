"""Updates that come by HTTPS, piece by piece: for a school that the SuperLink cannot be reached from.

Rules, in order: a node has one upload at a time, and a new one replaces it; nothing is larger than the settings allow;
a piece is on the disk before it is counted, so that after a cut on either side the upload goes on at the last piece;
bytes that are complete go the way of all updates (`services.update_take_in`), and only a judged upload is forgotten.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from central.disk import CentreDisk
from central.schools.models import Node
from central.schools.sessions import node_expect
from central.training.errors import UploadDamaged, UploadOffsetWrong, UploadPieceInvalid
from central.training.models import Update
from central.training.offers import receipt_of
from central.training.services import update_take_in
from federation.errors import TrustError, WireError
from federation.learning.update import update_header
from federation.wire.canonical import sha256_hex
from federation.wire.rounds import Upload

KEPT_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of an update: where it begins, its bytes, and how long the whole is."""

    start: int
    content: bytes
    size_bytes: int


def upload_show(*, node: Node, sha256: str, disk: CentreDisk) -> Upload:
    """Return how far the node's upload has come, or the centre's word where the update came already, by any way."""
    update = Update.objects.filter(node=node, digest=sha256).select_related("plan").first()
    if update is not None:
        return _judged(update)
    path = _part(node, sha256, disk)
    return _under_way(sha256, path.stat().st_size if path.exists() else 0)


def piece_take_in(*, node: Node, sha256: str, piece: Piece, max_bytes: int, disk: CentreDisk, now: datetime) -> Upload:
    """Return how far the upload has come with `piece`; the last one has the update judged.

    What overlaps with bytes that are here already is passed by, so a piece may be sent twice.

    Raises:
        UploadPieceInvalid: the piece lies outside of an update of an allowed size.
        UploadOffsetWrong: bytes before it are missing.
        UploadDamaged: the whole is not what its digest says; it is forgotten.
        NodeMismatch: it is another node's update; it is forgotten.
        MalformedUpdate, MalformedDocument, PlanUnknown: it is no update that anybody asked for; it is forgotten.
    """
    if not (0 <= piece.start < piece.start + len(piece.content) <= piece.size_bytes <= max_bytes):
        raise UploadPieceInvalid(size_bytes=piece.size_bytes, max_bytes=max_bytes)
    with _alone(node, disk):
        known = upload_show(node=node, sha256=sha256, disk=disk)
        if known.is_judged:
            return known
        path = _part(node, sha256, disk)
        received = _append(path, piece)
        if received < piece.size_bytes:
            return _under_way(sha256, received)
        try:
            update = _complete(path, node, sha256, disk, now)
        except (WireError, TrustError):
            # Nothing will ever make an update of these bytes; what the centre lacks itself may come back.
            path.unlink()
            raise
        path.unlink()
        return _judged(update)


def uploads_expire(*, disk: CentreDisk, now: datetime) -> int:
    """Forget uploads that nobody went on with for two weeks; return how many."""
    oldest = (now - timedelta(days=KEPT_DAYS)).timestamp()
    old = [path for path in disk.uploads.glob("*/*.part") if path.stat().st_mtime < oldest]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _complete(path: Path, node: Node, sha256: str, disk: CentreDisk, now: datetime) -> Update:
    content = path.read_bytes()
    if sha256_hex(content) != sha256:
        raise UploadDamaged(sha256=sha256)
    node_expect(node=node, node_id=update_header(content).node_id)
    return update_take_in(content=content, disk=disk, now=now)


def _append(path: Path, piece: Piece) -> int:
    """Return how many bytes there are with those of `piece` that were missing, safe from a power cut."""
    for other in path.parent.glob("*.part"):
        if other != path:
            other.unlink()
    with path.open("ab") as stream:
        received = stream.tell()
        if piece.start > received:
            raise UploadOffsetWrong(received_bytes=received)
        stream.write(piece.content[received - piece.start :])
        stream.flush()
        os.fsync(stream.fileno())
        return stream.tell()


@contextmanager
def _alone(node: Node, disk: CentreDisk) -> Iterator[None]:
    """Hold off a second request of the same node: a link that broke may leave the first one running."""
    folder = disk.uploads / str(node.pk)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _part(node: Node, sha256: str, disk: CentreDisk) -> Path:
    return disk.uploads / str(node.pk) / f"{sha256}.part"


def _under_way(sha256: str, received: int) -> Upload:
    return Upload(sha256=sha256, received_bytes=received, is_judged=False, accepted=False, code="")


def _judged(update: Update) -> Upload:
    receipt = receipt_of(update)
    return Upload(
        sha256=update.digest,
        received_bytes=update.size_bytes,
        is_judged=True,
        accepted=receipt.accepted,
        code=receipt.code,
    )
