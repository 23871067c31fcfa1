"""Wrong clocks and wrong servers: the real client against real TLS on loopback, and what it believes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from federation.trust.keys import director_key_create
from federation.trust.tuf_client import EPOCH, time_floor
from federation.wire.canonical import canonical_bytes, sha256_hex
from federation.wire.enrolment import Fleet
from federation.wire.sheet import Sheet, sheet_text
from node.rounds.models import LocalUpdate, Plan
from node.rounds.services import update_path
from node.sync.enrol import enrolment_read, sheet_enrol
from node.sync.errors import AuthorityMismatch, AuthorityOutOfDate, CentreNotTrusted, NotEnrolled
from node.sync.loop import contact_once
from node.sync.models import SyncLog
from node.sync.services import ContactTimes
from tests.node.conftest import NOW
from tests.simulators import CentreSimulator, round_plan
from tests.tls_files import TestAuthority

pytestmark = pytest.mark.django_db
NO_WAITING = ContactTimes(trial_seconds=0, poll_seconds=0.01, delivery_poll_seconds=0.01)
TODAY = datetime.now(UTC)
YEAR = timedelta(days=365)
OFF = {
    "1970": EPOCH + timedelta(hours=1) - TODAY,
    "a year ahead": YEAR,
    "ten minutes slow": -timedelta(minutes=10),
    "ten minutes fast": timedelta(minutes=10),
}


@pytest.fixture
def authority():
    return TestAuthority.make(begins=TODAY - YEAR)


@pytest.fixture
def secure(tmp_path, authority):
    """Start centres that speak TLS, and stop them."""
    started = []

    def start(*, begins=TODAY - timedelta(days=30), days=90, by=authority, host="127.0.0.1", names=authority):
        scratch = tmp_path / f"centre-{len(started)}"
        scratch.mkdir()
        centre = CentreSimulator(scratch=scratch, authority=names.pem)
        centre.claim_codes["CODE123456"] = "Мактаби №1"
        centre.serve_tls(*by.server(scratch, begins=begins, days=days, host=host))
        centre.start()
        started.append(centre)
        return centre

    yield start
    for centre in started:
        centre.stop()


def sheet_of(centre, **changes):
    sheet = Sheet(
        code="CODE123456",
        root_sha256=centre.fingerprint,
        authority_sha256=sha256_hex(centre.authority.encode()) if centre.authority else "",
        address=centre.url,
    )
    return replace(sheet, **changes)


def contact(root, off=timedelta(0)):
    return contact_once(root=root, clock=lambda: datetime.now(UTC) + off, times=NO_WAITING)


def move(root, centre):
    """Let the enrolled node call another server, as one that stands between it and its centre would have it."""
    enrolment = replace(enrolment_read(root), central_url=centre.url)
    (root / "node.json").write_bytes(canonical_bytes(enrolment))


@pytest.mark.parametrize("off", OFF.values(), ids=OFF.keys())
def test_a_pc_with_a_wrong_clock_enrols_and_syncs_with_its_pinned_centre_from_its_first_contact(root, secure, off):
    centre = secure()
    sheet_enrol(root=root, sheet=sheet_of(centre))
    for _ in range(2):
        report = contact(root, off)
        assert dict(report.failures) == {}
    assert abs(time_floor(root / "tuf") - datetime.now(UTC)) < timedelta(minutes=1)
    skew = SyncLog.objects.filter(step="time").latest("pk").detail
    assert float(skew.split()[1]) == pytest.approx(off.total_seconds(), abs=2)


@pytest.mark.parametrize("off", OFF.values(), ids=OFF.keys())
def test_without_tls_a_wrong_clock_is_put_right_by_the_directors_signature(root, centre, off):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    contact(root)
    assert dict(contact(root, off).failures) == {}


def test_without_tls_nobody_is_believed_before_the_director_is_known(root, centre):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    report = contact(root, YEAR * 20)
    assert report.failures["metadata"].code == "metadata_expired"
    assert time_floor(root / "tuf") == EPOCH


def test_a_time_that_another_key_has_signed_moves_no_clock(root, centre, tmp_path):
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    contact(root)
    floor = time_floor(root / "tuf")
    centre.director = director_key_create(tmp_path / "other.pem")
    report = contact(root, YEAR * 20)
    assert report.failures["metadata"].code == "metadata_expired"
    assert time_floor(root / "tuf") == floor


@pytest.mark.parametrize("off", OFF.values(), ids=OFF.keys())
def test_no_clock_makes_a_server_of_another_authority_or_name_the_centre(root, secure, off):
    centre = secure()
    sheet_enrol(root=root, sheet=sheet_of(centre))
    before = (root / "node.json").read_bytes()
    other = TestAuthority.make(begins=TODAY - YEAR)
    for impostor in (secure(by=other), secure(host="127.0.0.2")):
        move(root, impostor)
        with pytest.raises(CentreNotTrusted):
            contact(root, off)
        assert impostor.requests == []
    (root / "node.json").write_bytes(before)
    assert dict(contact(root).failures) == {}


def test_a_certificate_that_the_pcs_clock_calls_ended_is_good_until_signed_time_says_so(root, secure):
    centre = secure(begins=TODAY - timedelta(days=30), days=31)
    sheet_enrol(root=root, sheet=sheet_of(centre))
    assert dict(contact(root, YEAR).failures) == {}


@pytest.mark.parametrize("off", [timedelta(0), OFF["1970"]], ids=["right", "1970"])
def test_a_certificate_that_ended_before_signed_time_is_refused_whatever_the_clock_says(root, secure, off):
    sheet_enrol(root=root, sheet=sheet_of(secure()))
    contact(root)
    stolen = secure(begins=TODAY - timedelta(days=90), days=89)
    move(root, stolen)
    with pytest.raises(CentreNotTrusted, match="expired"):
        contact(root, off)
    assert stolen.requests == []


def test_an_authority_that_ended_before_signed_time_is_trusted_no_more(root, secure, tmp_path):
    old = TestAuthority.make(begins=TODAY - YEAR, days=364)
    sheet_enrol(root=root, sheet=sheet_of(secure()))
    contact(root)
    enrolment = replace(enrolment_read(root), authority=old.pem)
    (root / "node.json").write_bytes(canonical_bytes(enrolment))
    with pytest.raises(AuthorityOutOfDate):
        contact(root)


def test_the_claim_code_is_not_said_to_a_server_that_the_sheet_does_not_name(root, secure, authority):
    other = TestAuthority.make(begins=TODAY - YEAR)
    honest = sheet_of(secure())
    named_wrongly = secure(by=other, names=other)
    with pytest.raises(AuthorityMismatch):
        sheet_enrol(root=root, sheet=replace(honest, address=named_wrongly.url))
    liar = secure(by=other, names=authority)
    with pytest.raises(CentreNotTrusted):
        sheet_enrol(root=root, sheet=replace(honest, address=liar.url))
    for impostor in (named_wrongly, liar):
        assert set(impostor.requests) == {"GET /api/v1/authority"}
    with pytest.raises(NotEnrolled):
        enrolment_read(root)


@pytest.mark.parametrize(
    ("off_seconds", "is_asked"), [(0, True), (2, True), (6, False), (-250, True), (-310, False), (600, False)]
)
def test_on_a_clock_that_flower_would_refuse_an_update_goes_by_https(root, centre, off_seconds, is_asked):
    pytest.importorskip("flwr", reason="only a PC that learns has Flower")
    centre.claim_codes["CODE123456"] = "Мактаби №1"
    sheet_enrol(root=root, sheet=sheet_of(centre))
    fleet = Fleet(address="127.0.0.1:1", ca_certificate="")
    (root / "node.json").write_bytes(canonical_bytes(replace(enrolment_read(root), fleet=fleet)))
    centre.plan(round_plan())
    contact(root)
    plan = Plan.objects.get()
    update = LocalUpdate.objects.create(plan=plan, counter=1, status="ready", sha256="a" * 64, started_at=NOW)
    path = update_path(root=root, update=update)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"update")
    assert dict(contact(root, timedelta(seconds=off_seconds)).failures) == {}
    assert ("POST /api/v1/leases" in centre.requests) is is_asked
    assert (f"PUT /api/v1/updates/{'a' * 64}" in centre.requests) is not is_asked
    assert LocalUpdate.objects.waiting().count() == int(is_asked)


def test_a_sheets_text_enrols_by_the_command_and_by_the_page(root, secure, client, django_user_model):
    from django.contrib.auth.models import Group  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    centre = secure()
    call_command("enrol", root=root, sheet=sheet_text(sheet_of(centre)))
    assert enrolment_read(root).authority == centre.authority
    (root / "node.json").unlink()
    head = django_user_model.objects.create_user("head", password="x")
    client.force_login(head)
    form = {"square": f"  {sheet_text(sheet_of(centre))}\n"}
    assert client.post("/enrol/", form).status_code == 403
    assert not (root / "node.json").exists()
    head.groups.add(Group.objects.get_or_create(name="head")[0])
    assert client.get("/enrol/").status_code == 200
    assert client.post("/enrol/", {"square": "SORO1.nonsense"}).status_code == 400
    printed = sheet_of(centre)
    typed = {
        "address": centre.url,
        "code": "code1 23456",
        "root_sha256": " ".join((printed.root_sha256[:8], printed.root_sha256[8:])).upper(),
        "authority_sha256": printed.authority_sha256,
    }
    assert client.post("/enrol/", typed).status_code == 302
    assert enrolment_read(root).school == "Мактаби №1"
    (root / "node.json").unlink()
    assert client.post("/enrol/", form).status_code == 302
    again = client.post("/enrol/", form)
    assert again.status_code == 400
    assert "Мактаби №1" in again.content.decode()
