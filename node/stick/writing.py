"""Write what the school has to say on a stick: the same signed bytes that would go by link, sealed to the centre.

What is written stays due until the centre's receipt has come back, so a stick that is lost costs nothing but time, and
one that is written twice brings the same again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from federation.errors import FederationError
from federation.trust import stick_layout as layout
from federation.trust.envelopes import CHECK_IN, envelope_seal
from federation.trust.folder_transport import BASE_URL, folder_client, stick_reader
from federation.trust.keys import VerifyingKey, key_id
from federation.trust.stick_disk import StickDisk
from federation.trust.stick_returns import SentFile, returns_write
from federation.trust.tuf_client import TrustedReleases
from federation.wire.canonical import canonical_bytes
from federation.wire.feedback import Parcel
from node.installed.hardware import GAUGES
from node.outbox.services import batches_due, epoch_name
from node.rounds.models import LocalUpdate
from node.rounds.services import update_path
from node.stick.enrolment import request_file
from node.stick.outcomes import WrittenOut
from node.sync.claim import claim_read
from node.sync.enrol import enrolment_read, node_key
from node.sync.services import PARCELS_IN_A_BATCH, batch_envelope, check_in_document

MOST_PARCELS = 50_000
MOST_UPDATES = 20
_log = logging.getLogger(__name__)


def school_write(*, root: Path, disk: StickDisk, now: datetime) -> WrittenOut:
    """Return what this PC has put in its own folder on the stick: all that waits, or its request to enrol.

    Raises:
        StickUnknown: the centre has not prepared this stick.
        NotEnrolled: this PC has no school, and no claim to send.
        CourierUnknown: nothing that is trusted names the key to seal to.
        StickFull, StickForbidden: nothing was begun.
        StickGone: pulled out; writing again writes all anew.
    """
    disk.open()
    is_enrolled = (root / "node.json").exists()
    due = tuple(batches_due(limit=MOST_PARCELS, batch_limit=PARCELS_IN_A_BATCH)) if is_enrolled else ()
    files = _waiting_files(root, due, now) if is_enrolled else [request_file(root=root, claim=claim_read(root))]
    reader = _courier_key(root, disk, now)
    written = returns_write(disk=disk, sender=key_id(node_key(root)), files=files, reader=reader)
    return WrittenOut(
        is_enrolment=not is_enrolled,
        ratings=sum(map(len, due)),
        updates=sum(file.kind == layout.UPDATE for file in files),
        bytes_written=written,
    )


def _waiting_files(root: Path, batches: Sequence[tuple[Parcel, ...]], now: datetime) -> list[SentFile]:
    node_id, key, epoch = enrolment_read(root).node_id, node_key(root), epoch_name()
    check_in = canonical_bytes(check_in_document(root=root, node_id=node_id, gauges=GAUGES, now=now))
    files = [SentFile(kind=layout.CHECK_IN, content=envelope_seal(payload=check_in, kind=CHECK_IN, key=key))]
    for batch in batches:
        content = batch_envelope(node_id=node_id, epoch=epoch, parcels=batch, key=key)
        files.append(SentFile(kind=layout.PARCELS, content=content))
    return files + _updates(root)


def _updates(root: Path) -> list[SentFile]:
    found = []
    for update in LocalUpdate.objects.waiting().select_related("plan")[:MOST_UPDATES]:
        try:
            content = update_path(root=root, update=update).read_bytes()
        except FileNotFoundError:
            continue
        if hashlib.sha256(content).hexdigest() == update.sha256 and len(content) <= layout.MAX_UPDATE_BYTES:
            found.append(SentFile(kind=layout.UPDATE, content=content))
    return found


def _courier_key(root: Path, disk: StickDisk, now: datetime) -> VerifyingKey:
    """Return the newest key to seal to: the stick may name a newer one, and an older stick changes nothing."""
    releases = TrustedReleases(root=root / "tuf", base_url=BASE_URL, client=folder_client(stick_reader(disk)))
    try:
        releases.refresh(now=now)
    except FederationError as error:
        if not releases.trusted.courier_key:
            raise
        _log.info("the stick's metadata is not newer: %s", error.code)
    return releases.courier_key
