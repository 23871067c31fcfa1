"""How a finished update leaves a school: the way that is chosen, and the upload that any cut only puts off."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.wire.canonical import canonical_bytes
from federation.wire.enrolment import Fleet
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import update_path
from node.sync.enrol import enrolment_read, sheet_enrol
from node.sync.errors import CentreUnreachable
from node.sync.models import SyncLog
from node.sync.upload import LEAST_BYTES, PIECE_BYTES
from node.sync.ways import TRIES, Circumstances, Way, Word, tries_in_vain, way_choose
from tests.node.conftest import NOW
from tests.node.test_clock import contact, sheet_of
from tests.simulators import round_plan

pytestmark = pytest.mark.django_db
UPDATE = bytes(range(256)) * 1600
SHA256 = hashlib.sha256(UPDATE).hexdigest()
USUAL = Circumstances(size_bytes=700_000, has_superlink=True, has_flower=True, is_clock_right=True, tries=0)


@pytest.fixture
def waiting(root, centre):
    """An update that waits at a school whose centre has no SuperLink."""
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    centre.plan(round_plan())
    contact(root)
    plan = Plan.objects.get()
    update = LocalUpdate.objects.create(
        plan=plan, counter=1, status="ready", sha256=SHA256, size_bytes=len(UPDATE), started_at=NOW
    )
    path = update_path(root=root, update=update)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(UPDATE)
    return path


def puts(centre) -> int:
    return sum(request.startswith("PUT") for request in centre.requests)


@pytest.mark.parametrize(
    ("given", "way"),
    [
        ({}, Way.FLOWER),
        ({"has_superlink": False}, Way.HTTPS),
        ({"has_flower": False}, Way.HTTPS),
        ({"is_clock_right": False}, Way.HTTPS),
        ({"size_bytes": 5_000_000}, Way.HTTPS),
        ({"tries": TRIES - 1}, Way.FLOWER),
        ({"tries": TRIES}, Way.HTTPS),
    ],
)
def test_an_update_goes_by_flower_unless_it_cannot_or_did_not(given, way):
    assert way_choose(replace(USUAL, **given)) is way


def test_tries_in_vain_are_counted_back_to_the_last_success_and_errors_say_nothing_of_flower():
    assert tries_in_vain([Word.NO_LEASE, "centre_busy, status=503", Word.FAILED, Word.RECEIVED, Word.FAILED]) == 2
    assert tries_in_vain([Word.UPLOADED, Word.FAILED]) == 0
    assert tries_in_vain([]) == 0


@given(st.lists(st.sampled_from([*Word, "centre_unreachable"])))
def test_no_more_tries_are_counted_than_steps_ended_in_vain(words):
    assert tries_in_vain(words) <= sum(word in {"no lease", "lease_over", "try_later", "failed"} for word in words)


def test_an_update_goes_up_in_pieces_and_is_done_with_on_the_receipt(
    root, centre, waiting, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        report = contact(root)
    assert dict(report.failures) == {}
    assert bytes(centre.uploads[SHA256]) == UPDATE
    assert puts(centre) == -(-len(UPDATE) // PIECE_BYTES)
    assert (LocalUpdate.objects.get().status, waiting.exists()) == ("accepted", False)
    assert SyncLog.objects.filter(step="update").last().detail == "uploaded"


def test_an_upload_goes_on_where_the_centre_has_got_to(root, centre, waiting):
    centre.uploads[SHA256] = bytearray(UPDATE[:300_000])
    contact(root)
    assert bytes(centre.uploads[SHA256]) == UPDATE
    assert puts(centre) == 1


def test_an_update_that_came_another_way_is_not_sent_again(root, centre, waiting):
    centre.uploads[SHA256] = bytearray(UPDATE)
    centre.receive(SHA256)
    contact(root)
    assert (puts(centre), LocalUpdate.objects.get().status) == (0, "accepted")


def test_a_link_that_breaks_within_every_large_piece_takes_small_ones(root, centre, waiting):
    centre.piece_limit = PIECE_BYTES // 4
    contact(root)
    assert bytes(centre.uploads[SHA256]) == UPDATE
    assert LocalUpdate.objects.get().status == "accepted"


def test_a_link_that_takes_no_piece_at_all_leaves_the_update_to_the_next_contact(root, centre, waiting):
    centre.piece_limit = LEAST_BYTES // 8
    report = contact(root)
    assert isinstance(report.failures["update"], CentreUnreachable)
    assert (LocalUpdate.objects.get().status, waiting.exists()) == ("ready", True)
    centre.piece_limit = None
    contact(root)
    assert LocalUpdate.objects.get().status == "accepted"


def test_after_three_refused_leases_the_update_goes_by_https(root, centre, waiting):
    pytest.importorskip("flwr", reason="only a PC that learns has Flower")
    fleet = Fleet(address="127.0.0.1:1", ca_certificate="")
    (root / "node.json").write_bytes(canonical_bytes(replace(enrolment_read(root), fleet=fleet)))
    for _ in range(TRIES):
        contact(root)
        assert (puts(centre), LocalUpdate.objects.get().status) == (0, "ready")
    contact(root)
    assert LocalUpdate.objects.get().status == "accepted"
    assert centre.requests.count("POST /api/v1/leases") == TRIES


def test_an_update_whose_file_is_lost_holds_up_no_other(root, centre, waiting):
    waiting.unlink()
    assert dict(contact(root).failures) == {}
    assert SyncLog.objects.filter(step="update").last().detail == "nothing to hand in"
