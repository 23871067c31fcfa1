"""The node's own key and numbering: rotation through cuts, restored backups, copied disks, and where a key may lie."""

import io
import logging
import os
import re
import stat
from contextlib import contextmanager

import pytest
from django.core.management import call_command

from federation.trust.keys import key_id, node_key_load, public_pem
from federation.wire.canonical import canonical_bytes
from federation.wire.sheet import Sheet
from node.outbox.models import Parcel
from node.outbox.services import epoch_name, parcels_due, parcels_waiting
from node.sync.enrol import enrolment_read, key_path, sheet_enrol
from node.sync.errors import AlreadyEnrolled, CentreRefused, CentreUnreachable
from node.sync.loop import contact_once, key_change
from node.sync.models import SeenAssignment
from tests.node.test_clock import NO_WAITING
from tests.node.test_sync import rate

pytestmark = pytest.mark.django_db


@pytest.fixture
def school(root, centre):
    enrol(root, centre, "CODE123456")
    return root


def enrol(root, centre, code, *, again=False):
    centre.claim_codes[code] = "Мактаби №1"
    sheet = Sheet(code=code, root_sha256=centre.fingerprint, authority_sha256="", address=centre.url)
    return sheet_enrol(root=root, sheet=sheet, again=again).enrolment


def contact(root):
    from django.utils import timezone  # noqa: PLC0415

    return contact_once(root=root, clock=timezone.now, times=NO_WAITING)


def key_files(root):
    return sorted(path.name for path in (root / "keys").glob("*.pem"))


def known_key(centre):
    (pem,) = centre.node_keys.values()
    return pem


def test_a_rotated_node_syncs_by_its_new_key_and_keeps_no_other(school, centre, teacher):
    old = key_path(school).read_bytes()
    rate(teacher, school)
    answered = io.StringIO()
    call_command("key_rotate", root=school, stdout=answered)
    new = node_key_load(key_path(school))
    assert key_id(new)[:12] in answered.getvalue()
    assert known_key(centre) == public_pem(new)
    assert key_files(school) == ["node.pem"]
    assert key_path(school).read_bytes() != old
    assert dict(contact(school).failures) == {}
    assert parcels_waiting() == 0


@pytest.mark.parametrize("cut", ["before it was asked", "after the centre knew", "before the rename"])
def test_a_rotation_that_was_cut_is_finished_by_the_next_contact(school, centre, cut, monkeypatch):
    if cut == "before it was asked":
        address = enrolment_read(school).central_url
        centre_address(school, "http://127.0.0.1:9")
        with pytest.raises(CentreUnreachable):
            key_change(root=school)
        centre_address(school, address)
        assert known_key(centre) == public_pem(node_key_load(key_path(school)))
    elif cut == "after the centre knew":
        centre.receipts_to_lose = 1
        with pytest.raises(CentreUnreachable):
            key_change(root=school)
    else:
        with monkeypatch.context() as patch:
            patch.setattr("node.sync.rotation.durable_rename", power_cut)
            with pytest.raises(OSError, match="power"):
                key_change(root=school)
    assert key_files(school) == ["node.next.pem", "node.pem"]
    assert dict(contact(school).failures) == {}
    assert key_files(school) == ["node.pem"]
    assert known_key(centre) == public_pem(node_key_load(key_path(school)))


def power_cut(*_paths):
    raise OSError("power cut")


def centre_address(root, address):
    from dataclasses import replace  # noqa: PLC0415

    (root / "node.json").write_bytes(canonical_bytes(replace(enrolment_read(root), central_url=address)))


def test_a_node_whose_key_another_pc_has_replaced_is_told_so_and_loses_nothing(school, centre, teacher):
    rate(teacher, school)
    centre.session_refusal = "key_retired"
    with pytest.raises(CentreRefused, match="key_retired"):
        contact(school)
    assert parcels_waiting() == 1


@pytest.mark.parametrize("grown", [False, True], ids=["shorter than the centre knows", "grown again meanwhile"])
def test_a_restored_database_numbers_anew_and_loses_and_doubles_nothing(school, centre, teacher, grown):
    for stars in (1, 2, 3):
        rate(teacher, school, stars=stars)
    contact(school)
    old_epoch = epoch_name()
    Parcel.objects.filter(seq=3).delete()
    if grown:
        newest = Parcel.objects.get(seq=2)
        Parcel.objects.create(
            seq=3, event_id="e" * 32, record_id="f" * 32, revision=1, kind="rating", body=newest.body | {"stars": 5},
            appended_at=newest.appended_at,
        )  # fmt: skip
    assert dict(contact(school).failures) == {}
    assert epoch_name() != old_epoch
    assert parcels_waiting() == 0
    (node_id,) = centre.node_keys
    before, after = centre.parcels[(node_id, old_epoch)], centre.parcels[(node_id, epoch_name())]
    assert [parcel.body["stars"] for parcel in before.values()] == [1, 2, 3]
    assert [parcel.body["stars"] for parcel in after.values()] == ([1, 2, 5] if grown else [1, 2])
    assert [after[seq].event_id for seq in (1, 2)] == [before[seq].event_id for seq in (1, 2)]
    contact(school)
    assert epoch_name() in {epoch for _, epoch in centre.parcels}


def test_a_lost_receipt_is_no_reason_to_number_anew(school, centre, teacher):
    rate(teacher, school)
    epoch, centre.receipts_to_lose = epoch_name(), 1
    contact(school)
    assert parcels_waiting() == 1
    contact(school)
    assert (epoch_name(), parcels_waiting()) == (epoch, 0)


def test_the_centres_word_that_another_pc_used_a_number_makes_this_one_number_anew(school, centre, teacher):
    rate(teacher, school)
    epoch, centre.quarantine = epoch_name(), {1: "clone_suspected"}
    contact(school)
    assert epoch_name() != epoch
    assert [parcel.seq for parcel in parcels_due(limit=9)] == [1]


def test_a_pc_that_enrols_again_has_a_new_key_and_numbers_anew_and_asks_for_nothing_old(school, centre, teacher):
    rate(teacher, school)
    contact(school)
    before = (key_path(school).read_bytes(), epoch_name(), enrolment_read(school).node_id)
    with pytest.raises(AlreadyEnrolled):
        enrol(school, centre, "CODE999999")
    assert (key_path(school).read_bytes(), epoch_name(), enrolment_read(school).node_id) == before
    SeenAssignment.objects.create(sequence=9, envelope=b"", received_at=Parcel.objects.get().appended_at)
    enrol(school, centre, "CODE999999", again=True)
    after = (key_path(school).read_bytes(), epoch_name(), enrolment_read(school).node_id)
    assert not set(before) & set(after)
    assert key_files(school) == ["node.pem"]
    assert not SeenAssignment.objects.exists()
    assert dict(contact(school).failures) == {}
    assert len(centre.parcels[(after[2], after[1])]) == 1


def test_an_enrolment_again_that_was_cut_is_finished_by_the_same_command(school, centre, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("node.sync.enrol.durable_rename", power_cut)
        with pytest.raises(OSError, match="power"):
            enrol(school, centre, "CODE999999", again=True)
    enrol(school, centre, "CODE999999", again=True)
    assert key_files(school) == ["node.pem"]
    assert dict(contact(school).failures) == {}


def test_a_refused_enrolment_again_leaves_the_pc_as_it_was(school, centre):
    before = (key_path(school).read_bytes(), (school / "node.json").read_bytes(), epoch_name())
    sheet = Sheet(code="WRONG12345", root_sha256=centre.fingerprint, authority_sha256="", address=centre.url)
    with pytest.raises(CentreRefused, match="claim_code_unknown"):
        sheet_enrol(root=school, sheet=sheet, again=True)
    assert (key_path(school).read_bytes(), (school / "node.json").read_bytes(), epoch_name()) == before
    assert dict(contact(school).failures) == {}


@contextmanager
def umask(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def private_lines(root):
    """Return the lines of base64 of every private key under `root`."""
    pem = b"".join(path.read_bytes() for path in (root / "keys").glob("*.pem"))
    return [line for line in pem.splitlines() if line and not line.startswith(b"-")]


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_private_keys_are_their_owners_alone_whatever_the_umask(root, centre, mask):
    with umask(mask):
        enrol(root, centre, "CODE123456")
        key_change(root=root)
        enrol(root, centre, "CODE999999", again=True)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root / "keys").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((root / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((root / "node.json").stat().st_mode) == 0o600


@pytest.mark.django_db(transaction=True)
def test_no_private_key_is_said_anywhere(root, centre, teacher, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    bodies = []
    answer = centre.answer
    centre.answer = lambda path, body, token: (bodies.append(body), answer(path, body, token))[1]
    enrol(root, centre, "CODE123456")
    rate(teacher, root)
    secrets = private_lines(root)
    contact(root)
    key_change(root=root)
    secrets += private_lines(root)
    contact(root)
    said = io.StringIO()
    call_command("status", root=root, json=True, stdout=said)
    call_command("check", root=root, stdout=said, stderr=said)
    assert len(secrets) > 6
    assert bodies
    kept = [path.read_bytes() for path in root.rglob("*") if path.is_file() and path.parent.name != "keys"]
    heard = [said.getvalue().encode(), caplog.text.encode(), capsys.readouterr().err.encode(), *bodies, *kept]
    for secret in secrets:
        assert not any(secret in each for each in heard)
    assert not any(re.search(rb"PRIVATE KEY", each) for each in heard)
