"""What the centre says it has heard: receipts of parcels and updates, and what a restored centre has lost of them.

A check-in says up to which of its numbers the centre has confirmed to have heard the node. A centre that knows of fewer
was restored, and has lost what it gave receipts for since. It says so under the number of that check-in, so that each
such word is followed once, and words from before it, as on a stick that was long under way, count no more.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from federation.wire.releases import CheckInAnswer
from node.outbox.services import epoch_name, parcels_acknowledge, parcels_offer_again
from node.rounds.services import update_receive_receipt, updates_offer_again
from node.sync.models import CheckInCount

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How much a word of the centre has settled."""

    ratings: int = 0
    updates: int = 0


@transaction.atomic
def answer_hear(*, root: Path, epoch: str, answer: CheckInAnswer) -> Settled:
    """Return what is safe by the centre's answer, of link or stick, to a check-in of `epoch`."""
    if epoch == epoch_name() and not _restore_hear(root, answer):
        return Settled()
    ratings = parcels_acknowledge(
        epoch=epoch,
        acknowledged_seq=answer.acknowledged_seq,
        acknowledged_event=answer.acknowledged_event,
        quarantined=answer.quarantined,
    )
    updates = sum(update_receive_receipt(receipt=receipt, root=root) for receipt in answer.update_receipts)
    return Settled(ratings=ratings, updates=updates)


@transaction.atomic
def checkin_number_next() -> int:
    """Return the number of a new check-in; it is used up even if the check-in never arrives."""
    count = _count_locked()
    count.number += 1
    count.save(update_fields=["number"])
    return count.number


def heard_number() -> int:
    """Return the highest number of the epoch that the centre has confirmed to have heard; 0 before the first."""
    count = CheckInCount.objects.filter(epoch=epoch_name()).first()
    return count.heard_number if count else 0


def _restore_hear(root: Path, answer: CheckInAnswer) -> bool:
    """Offer again what a restored centre has lost; tell whether the answer is of the centre as it is since."""
    count = _count_locked()
    if count.epoch != epoch_name():
        count.epoch, count.heard_number, count.restored_number = epoch_name(), 0, 0
    if answer.restored_number < count.restored_number:
        return False
    if answer.restored_number > count.restored_number:
        parcels = parcels_offer_again(above_seq=answer.acknowledged_seq)
        updates = updates_offer_again(root=root)
        _log.warning("the centre was restored: %d parcels and %d updates are offered again", parcels, updates)
        count.restored_number = answer.restored_number
    count.heard_number = max(count.heard_number, answer.heard_number)
    count.save()
    return True


def _count_locked() -> CheckInCount:
    return CheckInCount.objects.select_for_update().get_or_create(is_only=True)[0]
