"""Keys change while sticks are under way: what was written before still counts, and what is written next is new."""

import json

import pytest

from central import trust_root
from central.feedback.models import Rating
from central.rollouts.models import Directive
from central.schools.invitations import node_reinvite
from central.schools.models import Node, NodeStatus
from federation.trust.courier_keys import courier_keys_load
from federation.trust.errors import CourierUnknown
from federation.trust.keys import KeyUnreadable, key_id
from federation.trust.tuf_client import TrustedReleases
from federation.trust.tuf_roles import key_rotate, roles_read
from node.outbox.services import parcels_waiting
from node.sync.claim import Claim
from node.sync.enrol import enrolment_read, node_key
from tests.courier.conftest import School, rate


def rotate(centre, role, old=""):
    change = key_rotate(root=centre.disk.tuf, keys=centre.disk.keys, role=role, old=old, now=centre.clock())
    assert change.waiting == ()
    return change.key_id


def courier_of(school):
    trusted = TrustedReleases(root=school.root / "tuf", base_url="http://127.0.0.1", client=None)
    return key_id(trusted.courier_key)


def test_a_stick_that_was_sealed_to_the_couriers_old_key_is_still_read(centre, enrolled, stick, teacher):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    old = courier_of(enrolled)
    new = rotate(centre, "courier")
    assert centre.take_in(stick).problems == []
    assert Rating.objects.count() == 1
    centre.export(stick)
    assert enrolled.bring_in(stick).failures == ()
    assert (courier_of(enrolled), parcels_waiting()) == (new, 0)
    assert {key_id(key) for key in courier_keys_load(centre.disk.keys)} == {old, new}

    (centre.disk.keys / "courier.pem").unlink()
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    assert centre.take_in(stick).problems == []
    assert Rating.objects.count() == 2


def test_without_any_couriers_key_no_stick_is_read(centre, enrolled, stick, teacher):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    (centre.disk.keys / "courier.pem").unlink()
    with pytest.raises(KeyUnreadable):
        centre.take_in(stick)
    assert Rating.objects.count() == 0


def test_the_couriers_key_stands_among_the_roles_with_its_file(centre):
    state = roles_read(root=centre.disk.tuf, keys=centre.disk.keys)[-1]
    assert (state.role, state.is_offline, len(state.keys)) == ("courier", False, 1)
    assert state.keys[0].file.path == centre.disk.keys / "courier.pem"


def test_a_pc_that_has_seen_no_metadata_knows_no_couriers_key(school):
    with pytest.raises(CourierUnknown):
        courier_of(school)


def test_a_letter_by_a_new_director_is_believed_once_the_stick_brings_who_that_is(centre, enrolled, stick):
    before = Directive.objects.get().sequence
    new = rotate(centre, "director")
    centre.export(stick)
    assert key_id(trust_root.director_key()) == new
    assert enrolled.bring_in(stick).failures == ()
    assert Directive.objects.get().sequence == before + 1


def test_keys_that_change_while_the_request_is_under_way_hold_no_enrolment_up(centre, school, stick):
    claim = centre.invite("Мактаби №1")
    rotate(centre, "timestamp")
    centre.export(stick)
    school.write_out(stick, claim)
    assert centre.take_in(stick).problems == []
    one_of_three = roles_read(root=centre.disk.tuf, keys=centre.disk.keys)[0].keys[0].key_id
    rotate(centre, "root", old=one_of_three)
    rotate(centre, "director")
    centre.export(stick)
    outcome = school.bring_in(stick)
    assert (outcome.school, outcome.failures) == ("Мактаби №1", ())
    assert json.loads((school.root / "tuf" / "metadata" / "root.json").read_bytes())["signed"]["version"] == 3


def test_a_pc_that_takes_anothers_place_enrols_by_stick(centre, enrolled, stick, tmp_path):
    enrolled.write_out(stick)
    centre.take_in(stick)
    assert Node.objects.get().last_contact_at is not None
    centre.clock.tick(hours=1)
    codes = []
    node_reinvite(
        node=Node.objects.get(),
        render=lambda drawn: codes.extend(each.code for each in drawn) or b"sheet",
        actor="a",
        reason="broken disk",
        now=centre.clock(),
    )
    (tmp_path / "new").mkdir()
    new = School(root=tmp_path / "new", clock=centre.clock)
    centre.export(stick)
    new.write_out(stick, Claim(code=codes[0], root_sha256=centre.fingerprint))
    assert centre.take_in(stick).problems != []  # what the old PC has left there, by a key that was withdrawn
    centre.export(stick)
    outcome = new.bring_in(stick)
    assert (outcome.school, outcome.failures) == ("Мактаби №1", ())
    assert enrolment_read(new.root).node_id == str(Node.objects.get().pk)
    assert Node.objects.get().status == NodeStatus.ACTIVE
    assert key_id(node_key(new.root)) != key_id(node_key(enrolled.root))
