"""A PC that has a claim and no link yet enrols by itself in the minutes in which one is up, and says how it stands."""

import random
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from federation.wire.sheet import Sheet, sheet_text
from node.accounts import Role, account_create
from node.next_step import NextStep
from node.status import status_read
from node.sync.claim import Awaited, Claim, awaited, claim_of, claim_read, claim_write, is_claim_kept, sheet_of
from node.sync.enrol import enrolment_read
from node.sync.errors import NotEnrolled
from node.sync.loop import contacts_hold
from node.sync.models import SyncLog
from tests.fault_proxy import FaultProxy, Link
from tests.node.test_sync import NO_WAITING

pytestmark = pytest.mark.django_db
CODE, SCHOOL = "CODE123456", "Мактаби №1"


class Rounds(threading.Event):
    """Set once the loop has paused so often; keeps for how long it wanted to."""

    def __init__(self, most):
        super().__init__()
        self.most, self.seconds = most, []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        if len(self.seconds) >= self.most:
            self.set()
        return self.is_set()


@pytest.fixture
def link(centre):
    centre.claim_codes[CODE] = SCHOOL
    with FaultProxy(centre.url, link=Link(request_loss=1.0)) as proxy:
        yield proxy


def sheet(centre, address, code=CODE):
    return Sheet(code=code, root_sha256=centre.fingerprint, authority_sha256="", address=address)


def loop(root, rounds):
    pauses = Rounds(rounds)
    contacts_hold(root=root, clock=timezone.now, rng=random.Random(1), stopping=pauses, times=NO_WAITING)
    return pauses.seconds


def step(root):
    return status_read(root=root, now=timezone.now()).next_step


def test_a_pc_whose_claim_waits_enrols_and_makes_contact_with_the_first_link(root, centre, link):
    claim_write(root, claim_of(sheet(centre, link.url)))
    pauses = loop(root, 8)
    assert not (root / "node.json").exists()
    assert is_claim_kept(root)
    assert max(pauses) < 27
    assert step(root) is NextStep.ENROL_AWAIT

    link.link = Link()
    loop(root, 1)
    assert enrolment_read(root).school == SCHOOL
    assert not is_claim_kept(root)
    assert [check_in.node_id for check_in in centre.check_ins] == [f"node-{CODE}"]
    assert step(root) is not NextStep.ENROL_AWAIT


def test_a_claim_that_the_centre_refuses_is_told_and_tried_ever_more_seldom(root, centre, link):
    link.link = Link()
    claim_write(root, claim_of(sheet(centre, link.url, code="WRONG12345")))
    pauses = loop(root, 12)
    assert max(pauses) > 600
    assert not (root / "node.json").exists()
    assert step(root) is NextStep.ENROL_ANEW
    assert {row.error_code for row in SyncLog.objects.filter(step="enrolment")} == {"centre_refused"}


def test_a_claim_by_stick_alone_is_said_to_nobody_by_link(root, centre):
    claim_write(root, Claim(code=CODE, root_sha256=centre.fingerprint))
    loop(root, 2)
    assert centre.requests == []
    assert is_claim_kept(root)
    assert step(root) is NextStep.ENROL_AWAIT_STICK


def test_a_pc_without_a_claim_asks_nobody(root, centre):
    loop(root, 2)
    assert SyncLog.objects.count() == 0
    assert step(root) is NextStep.ENROL


def test_the_journal_of_a_pc_that_waits_for_months_does_not_grow_for_ever(root, centre, link):
    claim_write(root, claim_of(sheet(centre, link.url)))
    SyncLog.objects.create(tick="t", step="enrolment", started_at=timezone.now() - timedelta(days=61), seconds=1)
    loop(root, 1)
    assert SyncLog.objects.filter(started_at__lt=timezone.now() - timedelta(days=60)).count() == 0


def test_what_of_a_sheet_is_kept_is_all_of_it_and_readable_by_its_owner_alone(root, centre):
    given = Sheet(code=CODE, root_sha256="a" * 64, authority_sha256="b" * 64, address="https://soro.example")
    claim_write(root, claim_of(given))
    assert sheet_of(claim_read(root)) == given
    assert (root / "claim.json").stat().st_mode & 0o777 == 0o600


def test_a_claim_that_an_older_program_kept_is_read(root):
    (root / "claim.json").write_text('{"code":"CODE123456","root_sha256":"aa","central_url":"https://soro.example"}')
    assert claim_read(root).authority_sha256 == ""
    assert awaited(root) is Awaited.LINK_OR_STICK


def test_the_head_gives_the_sheet_without_a_link_and_need_not_come_back(root, centre, link, client, django_user_model):
    head = django_user_model.objects.get(username=account_create(username="sarvar", role=Role.HEAD).username)
    client.force_login(head)
    shown = client.post(reverse("enrol"), {"square": sheet_text(sheet(centre, link.url))}, follow=True)
    assert "Ҳоло алоқа нест" in shown.text
    assert 'data-step="enrol_await"' in shown.text

    link.link = Link()
    refused = client.post(reverse("enrol"), {"square": sheet_text(sheet(centre, link.url, code="WRONG12345"))})
    assert refused.status_code == 400
    assert claim_read(root).code == CODE

    loop(root, 1)
    assert enrolment_read(root).school == SCHOOL


def test_the_command_keeps_a_sheet_only_where_it_is_asked_to(root, centre, link, capsys):
    text = sheet_text(sheet(centre, link.url))
    with pytest.raises(SystemExit):
        call_command("enrol", root=root, sheet=text)
    with pytest.raises(NotEnrolled):
        claim_read(root)
    call_command("enrol", root=root, sheet=text, later=True)
    assert claim_read(root).code == CODE
    capsys.readouterr()
