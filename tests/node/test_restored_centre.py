"""A centre that was restored from a backup: what it has lost is offered again, once, and by what it says alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from federation.wire.releases import CheckInAnswer, UpdateReceipt
from node.outbox.models import Parcel
from node.outbox.services import epoch_name, epoch_renew, parcels_waiting
from node.ratings.services import Opinion, rating_record
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import KEPT_UPDATES, update_path
from node.sync.enrol import sheet_enrol
from node.sync.heard import answer_hear, heard_number
from tests.node.conftest import NOW, answer_make
from tests.node.test_clock import contact, sheet_of
from tests.simulators import round_plan

# What becomes of an update's file is done once a transaction is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def enrolled(root, centre):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    contact(root)
    return root


def rate(teacher, root, *, stars):
    rating_record(answer=answer_make(), teacher=teacher, opinion=Opinion(stars=stars), now=NOW, root=root)


def numbers_here():
    return list(Parcel.objects.order_by("seq").values_list("seq", flat=True))


def numbers_at(centre):
    return sorted(number for parcels in centre.parcels.values() for number in parcels)


def update_make(root, centre, number):
    """Leave a finished update for a plan of its own."""
    centre.plan(round_plan(plan_id=f"plan-{number}"))
    contact(root)
    content = bytes([number]) * 5_000
    update = LocalUpdate.objects.create(
        plan=Plan.objects.get(plan_id=f"plan-{number}"),
        counter=number,
        status="ready",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        started_at=NOW,
    )
    path = update_path(root=root, update=update)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return update


def update_hand_in(root, centre, number):
    update = update_make(root, centre, number)
    contact(root)
    word = UpdateReceipt(plan_id=update.plan_id, update_sha256=update.sha256, accepted=True, code="")
    centre.update_receipts = (*centre.update_receipts, word)
    contact(root)
    update.refresh_from_db()
    assert (update.status, update_path(root=root, update=update).exists()) == ("accepted", False)
    return update


def test_ratings_that_a_restored_centre_has_lost_are_sent_again_and_the_others_are_not(enrolled, centre, teacher):
    rate(teacher, enrolled, stars=1)
    contact(enrolled)
    backup = centre.backup()
    rate(teacher, enrolled, stars=2)
    contact(enrolled)
    assert numbers_at(centre) == numbers_here()
    centre.restore(backup)
    assert numbers_at(centre) == numbers_here()[:1]
    rate(teacher, enrolled, stars=3)
    contact(enrolled)
    assert (numbers_at(centre), len(numbers_here()), parcels_waiting()) == (numbers_here(), 3, 0)
    assert [len(batch) for batch in centre.batches] == [1, 1, 2]
    sent = len(centre.requests)
    contact(enrolled)
    assert centre.requests[sent:] == ["POST /api/v1/check-ins"]


def test_a_centre_that_lost_the_first_check_in_is_told_all(enrolled, centre, teacher):
    rate(teacher, enrolled, stars=1)
    contact(enrolled)
    centre.restore(({}, (), {}, {}))
    contact(enrolled)
    assert numbers_at(centre) == numbers_here()


def test_an_update_whose_receipt_a_restored_centre_has_forgotten_is_handed_in_again(enrolled, centre):
    backup = centre.backup()
    update = update_hand_in(enrolled, centre, 1)
    content = bytes(centre.uploads[update.sha256])
    centre.restore(backup)
    contact(enrolled)
    assert bytes(centre.uploads[update.sha256]) == content


def test_an_update_that_a_restored_centre_still_knows_is_settled_without_a_byte(enrolled, centre):
    update_hand_in(enrolled, centre, 1)
    backup = centre.backup()
    contact(enrolled)
    centre.restore(backup)
    sent = len(centre.requests)
    contact(enrolled)
    assert LocalUpdate.objects.get().status == "accepted"
    assert not any(request.startswith("PUT") for request in centre.requests[sent:])


def test_only_the_last_few_updates_are_kept_beyond_their_receipts(enrolled, centre):
    for number in range(1, KEPT_UPDATES + 3):
        update_hand_in(enrolled, centre, number)
    kept = {path.name for path in (enrolled / "rounds" / "kept").iterdir()}
    newest = LocalUpdate.objects.order_by("-counter")[:KEPT_UPDATES]
    assert kept == {update.file_name for update in newest}


def test_an_answer_that_was_lost_after_the_restore_leaves_the_loss_to_the_next_one(enrolled, centre, teacher):
    backup = centre.backup()
    rate(teacher, enrolled, stars=1)
    contact(enrolled)
    centre.restore(backup)
    ((name, (number, _)),) = centre.heard.items()
    # The centre has heard it and the node has not heard the answer.
    centre.heard[name] = (number + 2, number + 2)
    contact(enrolled)
    assert numbers_at(centre) == numbers_here()


def said(**changes):
    words = {"acknowledged_seq": 0, "acknowledged_event": "", "quarantined": (), "update_receipts": ()}
    words |= {"heard_number": 1, "restored_number": 0, "server_time": NOW, "next_checkin_seconds": 60}
    words |= {"assignment": None, "round_plan": None, "metadata_version": "", "next_checkin_spread_seconds": 0}
    return CheckInAnswer(**(words | changes))


def test_an_old_letter_of_before_the_restore_makes_nothing_safe(root, teacher):
    for stars in (1, 2):
        rate(teacher, root, stars=stars)
    first, second = Parcel.objects.order_by("seq")
    whole = said(heard_number=4, acknowledged_seq=second.seq, acknowledged_event=second.event_id)
    assert answer_hear(root=root, epoch=epoch_name(), answer=whole).ratings == 2
    less = said(heard_number=6, restored_number=6, acknowledged_seq=first.seq, acknowledged_event=first.event_id)
    answer_hear(root=root, epoch=epoch_name(), answer=less)
    assert (parcels_waiting(), heard_number()) == (1, 6)
    for late in (whole, less):
        assert answer_hear(root=root, epoch=epoch_name(), answer=late).ratings == 0
        assert parcels_waiting() == 1
    again = replace(whole, heard_number=7, restored_number=6)
    assert answer_hear(root=root, epoch=epoch_name(), answer=again).ratings == 1


def test_what_was_heard_counts_for_its_own_epoch_alone(root, teacher):
    answer_hear(root=root, epoch=epoch_name(), answer=said(heard_number=8, restored_number=8))
    assert heard_number() == 8
    epoch_renew()
    assert heard_number() == 0
    answer_hear(root=root, epoch=epoch_name(), answer=said(heard_number=9))
    assert heard_number() == 9
