"""The admin's first page: every number leads to a list of just so many rows, for whoever looks."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.apps import apps
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from central.bars import BAR_WIDTH, bar_segments
from central.dashboard.charts import Spot, trend_line
from central.dashboard.fleet import cell_of
from central.feedback.models import Rating, RatingTrend, RatingWeek, TrendOf
from central.feedback.trends import WEEK, week_start, weeks_count
from central.rollouts.models import AssignmentStatus
from central.rollouts.standing import STANDINGS
from federation.wire.feedback import ParcelKind
from tests.benchmarks.country_rows import country_make
from tests.central.school import rating_parcel
from tests.central.test_review import say

NUMBER = re.compile(r'<a (?:class="dash-number" )?href="([^"]+\?[^"]*)"[^>]*>(?:<b>)?(\d+)<')


@pytest.fixture
def staff(client, db, disk):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    return client


@pytest.fixture
def country(db):
    country_make(schools=60, ratings=400, seed=1, now=timezone.now())
    weeks_count(now=timezone.now())


def page(client, language="en"):
    answer = client.get("/admin/", headers={"Accept-Language": language})
    assert answer.status_code == 200
    return answer


def test_every_number_leads_to_a_list_of_just_so_many_rows(staff, country):
    answer = page(staff)
    links = [(unescape(place), int(number)) for place, number in NUMBER.findall(answer.content.decode())]

    assert len(links) > 60
    for place, number in links:
        assert rows_of(place, answer.wsgi_request.user) == number, place
    # Of each kind of link one as a browser follows it: a list that does not understand an address sends away from it.
    for place, number in {re.sub("=[^&]*", "", place): (place, number) for place, number in links}.values():
        shown = staff.get(place)
        assert (shown.status_code, shown.context["cl"].result_count) == (200, number), place


def rows_of(place, user):
    """Return how many rows the list at `place` has, without drawing it."""
    request = RequestFactory().get(place)
    request.user = user
    app, model = place.split("/")[2:4]
    return site.get_model_admin(apps.get_model(app, model)).get_changelist_instance(request).result_count


def test_the_page_takes_as_many_queries_for_a_country_as_for_a_district(staff, country):
    page(staff)
    with CaptureQueriesContext(connection) as few:
        page(staff)
    names = iter(range(10**6))
    nodes = list(Rating.objects.values_list("node", flat=True).distinct())
    rows = [
        Rating(
            node_id=nodes[n % len(nodes)], record_id=f"more-{next(names)}", revision=1, stars=1, question="?",
            received_at=timezone.now(), subject=f"фанни {n}", release=f"{n:064x}",
        )
        for n in range(200)
    ]  # fmt: skip
    Rating.objects.bulk_create(rows)
    weeks_count(now=timezone.now())
    with CaptureQueriesContext(connection) as many:
        page(staff)

    assert 0 < len(many) <= len(few) < 60


@pytest.mark.parametrize("language", ["tg", "ru", "en"])
def test_the_page_speaks_the_persons_language_and_has_no_inline_style_or_script(staff, country, language):
    text = page(staff, language).content.decode()
    dashboard = text[text.index('<div class="dash">') : text.index("<!-- dash ends -->")]

    assert {"tg": "Минтақаҳо", "ru": "Регионы", "en": "Regions"}[language] in dashboard
    assert " style=" not in dashboard
    assert "<script" not in dashboard


def test_who_may_see_nothing_gets_a_page_without_figures(client, disk, country):
    user = get_user_model().objects.create_user("меҳмон", password="x", is_staff=True)
    client.force_login(user)
    assert not NUMBER.findall(page(client).content.decode())

    user.user_permissions.add(Permission.objects.get(codename="view_node"))
    links = NUMBER.findall(page(client).content.decode())
    assert links
    assert {place.split("/")[3] for place, _number in links} == {"node"}


def test_an_empty_centre_has_a_page(staff):
    assert "dash-fleet" in page(staff).content.decode()


# What is counted of weeks


def trend(now, trend_of=TrendOf.ALL, value=""):
    weeks_count(now=now)
    return RatingTrend.objects.filter(week__starts_at=week_start(now), trend_of=trend_of, value=value).first()


def test_a_week_counts_good_and_bad_by_each_of_five_ways(school, other_school):
    say(school, 1, stars=5)
    say(school, 2, stars=3, subject="физика", grade=7)
    say(other_school, 1, stars=1)
    now = timezone.now()

    everything = trend(now)
    assert (everything.ratings, everything.good, everything.bad, everything.schools) == (3, 1, 1, 2)
    assert 0 <= everything.low < everything.share == 0.5 < everything.high <= 1
    assert trend(now, TrendOf.SUBJECT, "география").ratings == 2
    assert trend(now, TrendOf.GRADE, "7").ratings == 1
    assert trend(now, TrendOf.REGION, "Хатлон").ratings == 3
    assert trend(now, TrendOf.RELEASE, "a" * 64).ratings == 3


def test_a_rating_that_leaves_its_week_is_counted_there_no_more(school):
    say(school, 1)
    then = timezone.now() - 2 * WEEK
    Rating.objects.update(received_at=then)
    weeks_count(now=timezone.now())
    old = RatingTrend.objects.get(trend_of=TrendOf.ALL)
    assert old.week.starts_at == week_start(then)

    say(school, 2, record="record-1", revision=2, stars=4)
    assert RatingWeek.objects.get(is_due=True) == old.week
    weeks_count(now=timezone.now())
    counted = RatingTrend.objects.get(trend_of=TrendOf.ALL)
    assert (counted.week.starts_at, counted.good) == (week_start(timezone.now()), 1)

    school.receipt(rating_parcel(3, record_id="record-1", revision=3, kind=ParcelKind.TOMBSTONE, body={}))
    assert trend(timezone.now()) is None


def test_a_closed_week_is_counted_once_more_and_then_left_alone(school):
    say(school, 1)
    now = timezone.now()
    weeks_count(now=now)
    assert weeks_count(now=now + timedelta(minutes=5)) == 1
    after = week_start(now) + WEEK + timedelta(hours=2)
    assert weeks_count(now=after) == 2
    assert weeks_count(now=after + timedelta(minutes=5)) == 1


# What is drawn


def test_a_bars_pieces_fit_and_the_smallest_is_seen():
    segments = bar_segments([1, 0, 9_998, 1], whole=10_000)

    assert [segment.width for segment in segments][1] == 0
    assert all(segment.width >= 4 for segment in segments if segment is not segments[1])
    assert segments[-1].start <= BAR_WIDTH
    assert bar_segments([0], whole=0)[0].width == 0


def test_a_trend_is_drawn_within_its_box_in_whole_numbers():
    drawn = trend_line(
        [Spot(place=0, share=0.5, low=0.25, high=1.0), Spot(place=12, share=1.0, low=0, high=1)], places=13
    )

    assert drawn.line == "4,30 236,0"
    assert drawn.band == "4,0 236,0 236,60 4,45"
    assert trend_line([], places=13) is None


@pytest.mark.parametrize(
    ("name", "cell"),
    [("Вилояти Суғд", "sughd"), ("Хатлонская область", "khatlon"), ("ВМКБ", "badakhshan"), ("Ҷои дигар", "")],
)
def test_a_region_is_found_on_the_map_by_any_spelling(name, cell):
    assert cell_of(name) == cell


def test_every_status_of_an_assignment_is_in_one_piece_of_the_bar():
    statuses = [status for _words, group in STANDINGS.values() for status in group]
    assert sorted(statuses) == sorted(AssignmentStatus.values)
