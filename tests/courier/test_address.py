"""A PC that enrolled by stick learns from the centre's letters where a link finds it, and who vouches for that."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from central.schools.errors import AuthorityUnreadable
from federation.trust.stick_disk import StickDisk
from federation.wire.courier import CentreLetter
from node.outbox.services import parcels_waiting
from node.stick.address import address_hear
from node.sync.claim import Claim
from node.sync.enrol import Enrolment, enrolment_read, node_key
from node.sync.loop import contact_once, pin_read
from tests.courier.conftest import NOW, School, rate
from tests.node.faults import NO_WAITING
from tests.real_centre import real_centre
from tests.tls_files import TestAuthority

OLD, NEW = "https://old.example", "https://soro.example:8443"
LETTER = CentreLetter(
    reader="r", node_id="n", epoch="e", answer=None, enrolment=None, address=NEW, authority="PEM", refusal="",
    written_at=NOW,
)  # fmt: skip
BY_STICK = Enrolment(node_id="n", school="s", central_url="", fleet=None, authority="")


def test_a_pc_without_an_address_takes_the_letters_and_its_authority():
    heard = address_hear(BY_STICK, LETTER)
    assert heard == replace(BY_STICK, central_url=NEW, authority="PEM", address_written_at=NOW)


def test_a_later_letter_moves_what_a_letter_said_and_an_older_or_the_same_one_does_not():
    heard = address_hear(BY_STICK, LETTER)
    moved = replace(LETTER, address=OLD, authority="", written_at=NOW + timedelta(days=1))
    assert address_hear(heard, moved) == replace(
        BY_STICK, central_url=OLD, authority="", address_written_at=moved.written_at
    )
    assert address_hear(heard, replace(moved, written_at=NOW)) == heard
    assert address_hear(heard, replace(moved, written_at=NOW - timedelta(days=1))) == heard


@pytest.mark.parametrize("sheet", [{"central_url": OLD}, {"central_url": NEW, "authority": "printed"}])
def test_what_the_sheet_said_stands(sheet):
    enrolled = replace(BY_STICK, **sheet)
    assert address_hear(enrolled, LETTER) == enrolled


def test_an_address_that_was_typed_without_an_authority_gets_it():
    typed = replace(BY_STICK, central_url=NEW)
    assert address_hear(typed, LETTER) == replace(typed, authority="PEM", address_written_at=NOW)


@pytest.mark.parametrize("address", ["", "soro.example", "ftp://soro.example", f"{NEW}/path", "https://a b"])
def test_a_letter_without_a_whole_address_changes_nothing(address):
    assert address_hear(BY_STICK, replace(LETTER, address=address)) == BY_STICK


def test_the_authority_that_sheets_name_is_pinned_by_a_letter(centre, enrolled, stick, settings, tmp_path):
    authority = TestAuthority.make(begins=NOW).pem
    (tmp_path / "authority.pem").write_text(authority)
    settings.PUBLIC_ADDRESS, settings.WEB_AUTHORITY = f"{NEW}/", tmp_path / "authority.pem"
    assert pin_read(enrolled.root) is None
    centre.export(stick)
    assert enrolled.bring_in(stick).address == NEW
    assert pin_read(enrolled.root).certificates == authority
    assert enrolled.bring_in(stick).address == ""


def test_a_letter_whose_signature_is_false_names_no_address(centre, enrolled, stick, settings):
    settings.PUBLIC_ADDRESS = NEW
    before = (enrolled.root / "node.json").read_bytes()
    centre.export(stick)
    (letter,) = (stick.place / "soro" / "letters").glob("*/*.sealed")
    content = bytearray(letter.read_bytes())
    content[-1] ^= 1
    letter.write_bytes(bytes(content))
    assert enrolled.bring_in(stick).address == ""
    assert (enrolled.root / "node.json").read_bytes() == before


def test_without_the_certificate_to_pin_no_stick_is_written(centre, enrolled, stick, settings, tmp_path):
    settings.PUBLIC_ADDRESS, settings.WEB_AUTHORITY = NEW, tmp_path / "gone.pem"
    before = sorted(path.stat().st_mtime_ns for path in stick.place.rglob("*"))
    with pytest.raises(AuthorityUnreadable):
        centre.export(stick)
    assert sorted(path.stat().st_mtime_ns for path in stick.place.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.django_db
def test_a_school_that_enrolled_by_stick_goes_on_by_link_as_the_same_node(tmp_path, settings, teacher):
    settings.NODE_ROOT = tmp_path / "node"
    settings.NODE_ROOT.mkdir()
    school = School(root=settings.NODE_ROOT, clock=timezone.now)
    (tmp_path / "stick").mkdir()
    stick = StickDisk(tmp_path / "stick")
    authority = TestAuthority.make(begins=timezone.now() - timedelta(days=1))
    (tmp_path / "authority.pem").write_text(authority.pem)
    server = authority.server(tmp_path, begins=timezone.now() - timedelta(days=1), days=30)
    pinned = {"SORO_CENTRAL_AUTHORITY": str(tmp_path / "authority.pem")}
    with real_centre(tmp_path / "central", tls=server, **pinned) as centre:
        claim = Claim(**centre.ask("invite", name="Мактаби №1"))
        centre.ask("stick_write", place=str(stick.place))
        school.write_out(stick, claim)
        assert centre.ask("stick_read", place=str(stick.place)) == {"problems": []}
        centre.ask("stick_write", place=str(stick.place))
        outcome = school.bring_in(stick)
        assert (outcome.school, outcome.address, outcome.failures) == ("Мактаби №1", centre.url, ())
        key, before = node_key(school.root).private_numbers(), enrolment_read(school.root)
        assert before.authority == authority.pem

        rating = rate(school, teacher)
        report = contact_once(root=school.root, clock=timezone.now, times=NO_WAITING)

        assert (report.failures, parcels_waiting()) == ({}, 0)
        assert list(centre.ratings(before.node_id)) == [rating.record_id]
        assert centre.rows("SELECT count(*) FROM schools_node") == [(1,)]
        assert (node_key(school.root).private_numbers(), enrolment_read(school.root)) == (key, before)
