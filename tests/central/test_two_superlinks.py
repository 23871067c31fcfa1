"""Two real SuperLinks of one centre: each has the schools of its region, and one round counts what both bring."""

from contextlib import ExitStack

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone

from central.schools.models import Node, School
from central.superlinks import superlink_of, superlinks
from central.training.fleet import fleet_advance
from central.training.inbox import updates_scan_inbox
from central.training.models import FlowerRun, Update
from central.training.rounds import round_advance
from node.rounds.supernode import Contact, ContactEnd, FlowerClient, contact_hold
from tests.central.seasons import collecting, season_small, update_of
from tests.real_superlink import superlink_open, until

pytestmark = pytest.mark.slow


@pytest.fixture
def two(disk, settings):
    """Two running SuperLinks, one for Sughd, the other for every other region."""
    with ExitStack() as ending:
        north = ending.enter_context(superlink_open(disk.superlinks / "north"))
        south = ending.enter_context(superlink_open(disk.superlinks / "south"))
        settings.FLEET_ADDRESS = f"north=localhost:{north.port}/Суғд;south=localhost:{south.port}"
        yield {"north": north, "south": south}


def hand_in(node, content, season, disk, folder, landed):
    """Let a school's PC hold one contact with the SuperLink of its region."""
    site = superlink_of(node.school.region)
    (folder / "outbox").mkdir(parents=True)
    (folder / "outbox" / f"{season.season_id}-1.update").write_bytes(content)
    contact = Contact(
        superlink=site.address,
        authority=site.root(disk) / "tls" / "ca.pem",
        node_key=folder / "node.pem",
        outbox=folder / "outbox",
        home=folder / "flower",
        log_path=folder / "supernode.log",
        client=FlowerClient.DURABLE,
    )
    return contact_hold(contact=contact, is_received=landed.exists, lease_seconds=90)


def test_updates_that_two_superlinks_bring_are_counted_in_one_round(school, other_school, two, disk, tmp_path):
    School.objects.filter(nodes=school.node_id).update(region="Суғд")
    season = season_small()
    round_ = collecting(season)
    for site in superlinks():
        fleet_advance(site=site, disk=disk, now=timezone.now())
    assert sorted(FlowerRun.objects.values_list("superlink", flat=True)) == ["north", "south"]
    until((disk.inbox / round_.round_id).exists, seconds=60)
    for each in (school, other_school):
        folder = tmp_path / each.node_id
        folder.mkdir()
        key = each.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "node.pem").write_bytes(key)
        landed = disk.inbox / round_.round_id / f"{each.node_id}-1.update"
        node = Node.objects.get(pk=each.node_id)
        report = hand_in(node, update_of(each, season), season, disk, folder, landed)
        assert report.end is ContactEnd.RECEIVED
    assert updates_scan_inbox(disk=disk, now=timezone.now()) == 2
    assert [update.round_id for update in Update.objects.accepted()] == [round_.pk, round_.pk]
    round_advance(round_=round_, now=timezone.now())
    round_.refresh_from_db()
    assert (round_.status, round_.why_ended) == ("aggregating", "enough_updates")
