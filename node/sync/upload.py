"""Send an update by HTTPS, piece by piece, from wherever the centre has got to (protocol §6.9)."""

from __future__ import annotations

from federation.wire.rounds import Upload
from node.sync.client import CentreClient
from node.sync.errors import CentreUnreachable, UploadStuck

PIECE_BYTES = 128 * 1024
LEAST_BYTES = 4 * 1024


def update_upload(*, client: CentreClient, sha256: str, content: bytes) -> Upload:
    """Return the centre's word on the update, all of which it has by then.

    A link that breaks within a piece is tried with smaller ones; what the centre has taken is never sent again.

    Raises:
        UploadStuck: the centre took a piece and counts no byte more.
        CentreUnreachable: even the smallest piece does not get through; the next contact goes on.
        TransportError, WireError: as the client.
    """
    limit = PIECE_BYTES
    upload = client.upload_show(sha256)
    while not upload.is_judged:
        start = upload.received_bytes
        try:
            upload = client.upload_piece(
                sha256, content=content[start : start + limit], start=start, size_bytes=len(content)
            )
        except CentreUnreachable:
            if limit <= LEAST_BYTES:
                raise
            limit //= 4
            # The piece may have arrived and only the answer been lost.
            upload = client.upload_show(sha256)
            continue
        if upload.received_bytes <= start and not upload.is_judged:
            raise UploadStuck(sha256=sha256, received_bytes=upload.received_bytes)
        limit = min(2 * limit, PIECE_BYTES)
    return upload
