"""A school behind any bad link enrols, rates, updates and uploads: nothing is lost, doubled or left half done."""

import random
import time
from dataclasses import replace

import pytest
from django.db import transaction
from django.utils import timezone

from federation.wire.canonical import to_plain
from federation.wire.feedback import ParcelKind
from node.outbox.models import Parcel
from node.outbox.services import parcel_append, parcels_waiting
from node.sync.enrol import enrolment_read
from tests.fault_proxy import FaultProxy, Link
from tests.node.faults import School, package_make, school_expect_sound
from tests.real_centre import real_centre

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
RELEASE_BYTES = 300_000
LINKS = {
    "perfect": Link(),
    "cut at every 9,001st byte": Link(cut_every_bytes=9_001),
    "cut at every 20,011th byte": Link(cut_every_bytes=20_011),
    "30% of requests lost": Link(request_loss=0.3),
    "30% of answers lost": Link(answer_loss=0.3),
    "30% of both lost": Link(request_loss=0.3, answer_loss=0.3),
    "600 ms": Link(latency_seconds=0.6),
    "64 kbit/s": Link(bytes_per_second=8_000),
    "503 now and then": Link(busy_share=0.3, retry_after_seconds=7),
    "truncated bodies": Link(truncate_share=0.3),
    "swapped bodies": Link(swap_share=0.3),
    "stale caches": Link(stale_share=0.8),
    "all at once": Link(
        cut_every_bytes=60_013, request_loss=0.1, answer_loss=0.1, busy_share=0.1, truncate_share=0.1, swap_share=0.1,
        stale_share=0.1,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    with real_centre(tmp_path_factory.mktemp("centre"), SORO_CENTRAL_CHECKIN_SECONDS="60") as running:
        yield running


def _a_tenth(seconds):
    """Wait as a slow link does, at ten times its pace: the order of things is what matters here."""
    if seconds > 0.005:
        time.sleep(seconds / 10)


@pytest.mark.parametrize("name", LINKS)
def test_over_a_bad_link_no_rating_is_lost_or_doubled_and_a_whole_release_always_runs(
    name, centre, root, teacher, tmp_path
):
    rng = random.Random(name)
    with FaultProxy(centre.url, link=LINKS[name], seed=len(name), sleep=_a_tenth) as proxy:
        school = School(root, proxy.url)
        school.enrol(centre, name)
        ratings = [school.rate(teacher, stars) for stars in (1, 2, 3)]
        for number in (1, 2):
            folder = package_make(tmp_path / f"{name} {number}", size_bytes=RELEASE_BYTES, seed=rng.randrange(1000))
            release = centre.ask("offer", folder=str(folder))["digest"]
            had = school_expect_sound(root)
            while not school.is_done(release):
                school.contact()
                school.engine_start()
                assert had is None or school_expect_sound(root) is not None
            ratings.append(school.rate(teacher, 4))
            school.revise(ratings[0], stars=number + 3)
        school.withdraw(ratings[1])
        while parcels_waiting():
            school.contact()
    assert centre.ratings(enrolment_read(root).node_id) == school.said()
    assert school_expect_sound(root) == release
    if name != "perfect":
        assert name in ("600 ms", "64 kbit/s") or sum(proxy.tally.faults.values()) > 2


def test_5000_events_through_30_and_30_percent_loss_are_exactly_5000_rows(centre, root):
    from tests.central.school import RATING  # noqa: PLC0415 - needs the centre's code

    body = to_plain(replace(RATING, stars=2))
    with FaultProxy(centre.url, link=LINKS["30% of both lost"], seed=5) as proxy:
        school = School(root, proxy.url)
        school.enrol(centre, "5000")
        with transaction.atomic():
            for number in range(5000):
                kind = ParcelKind.RATING
                parcel_append(record_id=f"{number:016x}", revision=1, kind=kind, body=body, now=timezone.now())
        while parcels_waiting():
            school.contact()
        assert min(proxy.tally.faults["request lost"], proxy.tally.faults["answer lost"]) > 10
    node = enrolment_read(root).node_id.replace("-", "")
    events = centre.rows("SELECT event_id FROM feedback_receivedparcel WHERE node_id = ?", node)
    assert sorted(events) == sorted(Parcel.objects.values_list("event_id"))
    assert centre.rows("SELECT count(*), count(DISTINCT record_id) FROM feedback_rating WHERE node_id = ?", node) == [
        (5000, 5000)
    ]
