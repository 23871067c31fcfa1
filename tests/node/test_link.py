"""When and how fast releases come over the school's link: the rule, its page, and a fetch that keeps it."""

import threading
from datetime import UTC, datetime, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from federation.trust.blob_sources import HttpBlobSource
from node.sync.errors import LinkRuleRefused, WindowClosed
from node.sync.link_rule import LinkRule
from node.sync.link_settings import link_rule_read, link_settings_read, link_settings_write
from node.sync.link_source import CAPPED_BYTES, LinkSource
from node.sync.models import LinkSettings
from node.sync.token_bucket import TokenBucket
from node.sync.transport import http_client

EVENING = LinkRule(opens_at=time(18), closes_at=time(6, 30))
# Noon in Dushanbe.
NOON = datetime(2026, 11, 24, 7, tzinfo=UTC)


class Blob:
    """A source of zeros that notes what it is asked for."""

    def __init__(self):
        self.asked = []

    def read_range(self, _sha256, start, length):
        self.asked.append((start, length))
        yield bytes(length)


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self):
        self.seconds = 0.0

    def monotonic(self):
        return self.seconds

    def sleep(self, seconds):
        self.seconds += seconds


def source(blob, rule, clock=None, now=NOON):
    clock = clock or Clock()
    return LinkSource(blob, rule=lambda: rule, clock=lambda: now, sleep=clock.sleep, monotonic=clock.monotonic)


@pytest.mark.parametrize(
    ("rule", "opened", "closed"),
    [
        (LinkRule(), [time(0), time(12)], []),
        (LinkRule(opens_at=time(9), closes_at=time(9)), [time(9), time(3)], []),
        (LinkRule(opens_at=time(9)), [time(3)], []),
        (LinkRule(opens_at=time(9), closes_at=time(17)), [time(9), time(16, 59)], [time(17), time(8, 59), time(0)]),
        (EVENING, [time(18), time(23, 59), time(0), time(6, 29)], [time(6, 30), time(12), time(17, 59)]),
    ],
)
def test_a_window_is_open_from_its_first_minute_up_to_its_last_also_across_midnight(rule, opened, closed):
    assert all(rule.is_open(now) for now in opened)
    assert not any(rule.is_open(now) for now in closed)


def test_outside_the_window_nothing_is_asked_for():
    blob = Blob()
    with pytest.raises(WindowClosed):
        list(source(blob, EVENING).read_range("d", 0, 10))
    assert blob.asked == []


def test_the_window_is_that_of_the_schools_own_time():
    blob = Blob()
    list(source(blob, EVENING, now=datetime(2026, 11, 24, 13, 1, tzinfo=UTC)).read_range("d", 0, 10))
    assert blob.asked == [(0, 10)]


def test_a_window_that_closes_in_mid_range_ends_it():
    hours = iter([datetime(2026, 11, 24, 1, 29, tzinfo=UTC), datetime(2026, 11, 24, 1, 31, tzinfo=UTC)])
    late = LinkSource(Blob(), rule=lambda: EVENING, clock=lambda: next(hours))
    with pytest.raises(WindowClosed):
        list(late.read_range("d", 0, 10))


def test_without_a_cap_a_range_is_one_request_and_nothing_waits():
    blob, clock = Blob(), Clock()
    list(source(blob, LinkRule(), clock).read_range("d", 5, 4_000_000))
    assert (blob.asked, clock.seconds) == ([(5, 4_000_000)], 0.0)


def test_under_a_cap_the_bytes_come_at_its_pace_and_no_burst_is_longer_than_one_small_request():
    blob, clock = Blob(), Clock()
    content = b"".join(source(blob, LinkRule(cap_kbit_s=64), clock).read_range("d", 0, 1_000_000))
    assert len(content) == 1_000_000
    assert max(length for _, length in blob.asked) == CAPPED_BYTES
    assert [start for start, _ in blob.asked] == list(range(0, 1_000_000, CAPPED_BYTES))
    # 64 kbit/s are 8,000 bytes a second, and the first small request waits for nothing.
    assert clock.seconds == pytest.approx((1_000_000 - CAPPED_BYTES) / 8000)


def test_a_cap_binds_in_its_hours_alone_also_across_midnight():
    rule = LinkRule(cap_kbit_s=64, cap_from=time(7), cap_until=time(18))
    assert [rule.cap_at(time(hour)) for hour in (6, 7, 17, 18)] == [None, 64, 64, None]
    night = LinkRule(cap_kbit_s=64, cap_from=time(22), cap_until=time(5))
    assert [night.cap_at(time(hour)) for hour in (21, 23, 4, 5)] == [None, 64, 64, None]
    # 12 o'clock in Dushanbe is within the first and outside of the second.
    for given_rule, asked in ((rule, 3), (night, 1)):
        blob = Blob()
        list(source(blob, given_rule).read_range("d", 0, 3 * CAPPED_BYTES))
        assert len(blob.asked) == asked


class Ranges(BaseHTTPRequestHandler):
    """Serves one blob of zeros by Range, and notes when each byte was asked for."""

    protocol_version = "HTTP/1.1"
    size, asked = 4_000_000, ()

    def do_GET(self):
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        type(self).asked = (*self.asked, (monotonic(), last - first + 1))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{self.size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(bytes(last - first + 1))

    def log_message(self, *_words):
        pass


def test_over_a_real_socket_the_bytes_keep_the_pace_within_a_tenth():
    """800 kbit/s are 100,000 bytes a second: after the first 64 KiB, 240,000 bytes more take 2.4 s of real time."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        http, counter = http_client()
        with http:
            blobs = HttpBlobSource(client=http, base_url=f"http://127.0.0.1:{server.server_port}")
            rule = LinkRule(cap_kbit_s=800)
            paced = LinkSource(blobs, rule=lambda: rule, clock=lambda: NOON)
            begun, size = monotonic(), CAPPED_BYTES + 240_000
            assert sum(map(len, paced.read_range("d" * 64, 0, size))) == size
            seconds = monotonic() - begun
            # What crossed the socket is what was read: no server is asked for more than is let through.
            assert counter.bytes_down == size
            rule = LinkRule(cap_kbit_s=800, cap_from=time(1), cap_until=time(2))
            begun = monotonic()
            list(paced.read_range("d" * 64, 0, 4_000_000))
            assert monotonic() - begun < seconds
    finally:
        server.shutdown()
        server.server_close()
    # Never faster; how much slower depends on what else this machine does.
    assert 2.35 <= seconds < 2.4 * 1.1 + 2
    start = Ranges.asked[0][0]
    passed = 0
    for at, length in Ranges.asked[:-1]:
        passed += length
        assert passed <= CAPPED_BYTES + 100_000 * (at - start + 0.05) + 1


@given(st.lists(st.tuples(st.integers(1, 200_000), st.floats(0, 60)), max_size=30))
def test_no_sequence_of_takers_gets_more_than_the_pace_and_one_burst(takes):
    bucket, now, passed = TokenBucket(bytes_a_second=8000, burst_bytes=65536, now=0.0), 0.0, 0
    for size, pause in takes:
        now += pause
        passed += size
        waited = bucket.take(size, now=now)
        assert passed <= 65536 + 8000 * (now + waited) + 1
        now += waited


@pytest.mark.django_db
def test_a_school_where_nobody_decided_anything_has_no_cap_no_window_and_shares():
    assert link_rule_read() == LinkRule()
    assert link_settings_read().is_shared


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("cap", "opens", "closes"),
    [(0, None, None), (7, None, None), (1_000_001, None, None), (None, time(9), None), (None, None, time(9))],
)
def test_an_impossible_rule_is_refused_and_the_old_one_holds(cap, opens, closes):
    link_settings_write(cap_kbit_s=256, opens_at=None, closes_at=None, is_shared=True)
    with pytest.raises(LinkRuleRefused):
        link_settings_write(cap_kbit_s=cap, opens_at=opens, closes_at=closes, is_shared=False)
    assert link_rule_read() == LinkRule(cap_kbit_s=256)
    assert link_settings_read().is_shared


@pytest.mark.django_db
def test_the_database_itself_refuses_half_a_window_and_a_second_row():
    link_settings_write(cap_kbit_s=None, opens_at=None, closes_at=None, is_shared=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        LinkSettings.objects.update(opens_at=time(9))
    with pytest.raises(IntegrityError), transaction.atomic():
        LinkSettings.objects.create()


@pytest.fixture
def head(db, client, root):
    user = User.objects.create_user("director")
    user.groups.add(Group.objects.get_or_create(name="head")[0])
    client.force_login(user)
    return client


def test_the_head_decides_on_the_page_and_what_is_empty_is_free(head):
    page = reverse("link")
    assert page in head.get(reverse("status")).content.decode()
    hours = {"opens_at": "18:00", "closes_at": "06:30", "cap_from": "07:00", "cap_until": "20:00"}
    assert head.post(page, {"cap_kbit_s": "256", "is_shared": "on"} | hours).url == page
    assert link_rule_read() == LinkRule(
        cap_kbit_s=256, opens_at=time(18), closes_at=time(6, 30), cap_from=time(7), cap_until=time(20)
    )
    assert 'value="18:00"' in head.get(page).content.decode()
    head.post(page, {"cap_kbit_s": "", "opens_at": "", "closes_at": ""})
    assert link_rule_read() == LinkRule()
    assert not link_settings_read().is_shared


@pytest.mark.parametrize(
    "wrong",
    [{"cap_kbit_s": "fast"}, {"cap_kbit_s": "3"}, {"opens_at": "18:00"}, {"cap_until": "18:00"}, {"opens_at": "x"}],
)
def test_what_cannot_be_kept_is_answered_with_a_sentence_and_changes_nothing(head, wrong):
    answer = head.post(reverse("link"), wrong)
    assert (answer.status_code, 'role="alert"' in answer.content.decode()) == (200, True)
    assert not LinkSettings.objects.exists()


def test_only_the_head_decides(client, teacher, root):
    client.force_login(teacher)
    assert client.post(reverse("link"), {"cap_kbit_s": "8"}).status_code == 403
    assert reverse("link") not in client.get(reverse("status")).content.decode()
    assert not LinkSettings.objects.exists()
