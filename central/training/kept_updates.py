"""Reads the updates that count in a round back from the disk as contributions."""

from __future__ import annotations

from collections.abc import Iterator

from central.disk import CentreDisk
from central.training.models import Round, Update
from central.training.plans import settings_of
from central.training.services import kept_path
from federation.learning.schemes.contribution import Contribution
from federation.learning.stored_update import StoredArrays
from federation.learning.update import update_read
from federation.wire.rounds import Precision


def contributions_read(*, round_: Round, disk: CentreDisk) -> Iterator[Contribution]:
    """Yield what each school has learnt, in the order of acceptance; only one is in memory at a time.

    Raises:
        MalformedUpdate, MalformedDocument, UpdateSizeMismatch, UpdateNotFinite: the disk no longer holds what was
            accepted.
    """
    precision = settings_of(round_.season).precision
    for update in round_.updates.accepted().select_related("plan").defer("plan__envelope").iterator(chunk_size=200):
        # Judged when it was taken in; what is on the disk is named by its digest.
        _header, arrays = update_read(kept_path(update=update, disk=disk).read_bytes(), precision=precision)
        yield Contribution(node_id=str(update.node_id), labels=update.labels, staleness=update.staleness, arrays=arrays)


def contribution_stored(update: Update, precision: Precision, disk: CentreDisk) -> Contribution:
    """Return an accepted update whose arrays are read from its file at each look, one by one.

    Raises:
        MalformedUpdate, MalformedDocument: the disk no longer holds what was accepted.
    """
    arrays = StoredArrays(kept_path(update=update, disk=disk), precision=precision)
    return Contribution(node_id=str(update.node_id), labels=update.labels, staleness=update.staleness, arrays=arrays)
