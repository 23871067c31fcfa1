"""What a contact may cost: the bounds of the protocol, counted on the socket with a real centre."""

import time

import pytest

from node.outbox.services import parcels_waiting
from node.sync.enrol import enrolment_read
from tests.fault_proxy import FaultProxy, Link
from tests.link_costs import flaky_bytes_ratio, idle_checkin_bytes, ratings100_bytes
from tests.node.faults import School, package_make
from tests.real_centre import real_centre

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    with real_centre(tmp_path_factory.mktemp("centre")) as running:
        yield running


@pytest.fixture
def proxy(centre):
    with FaultProxy(centre.url, link=Link()) as proxy:
        yield proxy


@pytest.fixture
def school(centre, root, proxy, request):
    school = School(root, proxy.url)
    school.enrol(centre, request.node.name)
    return school


def test_an_idle_check_in_costs_at_most_2_kib_and_so_does_one_that_opens_its_session(school, proxy, centre, tmp_path):
    centre.ask("offer", folder=str(package_make(tmp_path / "package", size_bytes=1000)))
    school.contact()
    school.engine_start()
    assert idle_checkin_bytes(school, proxy) <= 2048
    requests = proxy.tally.requests
    school.contact()
    assert proxy.tally.requests == requests + 1
    assert idle_checkin_bytes(school, proxy, opens_session=True) <= 2 * 2048


def test_100_ratings_cost_at_most_15_kb_and_are_100_rows(school, proxy, centre, teacher):
    cost = ratings100_bytes(school, proxy, teacher)
    assert cost <= 15_000
    assert parcels_waiting() == 0
    assert len(centre.ratings(enrolment_read(school.root).node_id)) == 100


def test_a_link_that_drops_every_5_mb_carries_at_most_a_fiftieth_more_than_the_release(school, centre, tmp_path):
    school.contact()
    assert flaky_bytes_ratio(school, centre, tmp_path, payload_bytes=24 * 1024 * 1024) <= 1.02


@pytest.mark.slow
def test_a_school_enrols_over_64_kbit_a_second_with_600_ms_in_real_time(centre, root):
    with FaultProxy(centre.url, link=Link(bytes_per_second=8000, latency_seconds=0.6)) as proxy:
        school = School(root, proxy.url)
        started = time.monotonic()
        school.enrol(centre, "64 kbit/s")
        assert school.contact() is not None
        assert school.errors == []
        assert 2 < time.monotonic() - started < 30
