"""A school's page: its PCs in words, and one timeline of what happened there."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from central.rollouts.models import Assignment
from central.schools.models import Node, RetiredKey, School
from central.schools.timeline import EntryKind, school_timeline
from tests.central.school import rating_parcel
from tests.central.test_rollouts import _running, release_make


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    client.defaults["HTTP_ACCEPT_LANGUAGE"] = "en"
    return client


@pytest.fixture
def release(db):
    return release_make(1)


def page(staff, school, **asked):
    return staff.get(f"/admin/schools/school/{_row(school).pk}/timeline/", asked)


def _row(school):
    return School.objects.get(nodes=school.node_id)


def words(school, kind):
    return [entry.words for entry in school_timeline(_row(school), kind=kind)]


def test_one_timeline_tells_contacts_installs_ratings_and_keys_in_order(staff, school, other_school, release):
    _running(release, "ҳама=100%")
    school.send_parcels(rating_parcel(1), rating_parcel(2))
    school.word()
    school.install()
    other_school.word()
    node = Node.objects.get(pk=school.node_id)
    RetiredKey.objects.create(node=node, public_key="x", key_id="ab" * 32, retired_at=timezone.now())
    Node.objects.filter(pk=node.pk).update(contact_days=0b1011)
    entries = school_timeline(_row(school))
    assert [entry.at for entry in entries] == sorted((entry.at for entry in entries), reverse=True)
    shown = page(staff, school)
    for told in (
        "ratings that came in: 2",
        "with a correction: 2",
        "№1: Soro 1: committed",
        "was offered, wave 1",
        "the key abababababab was replaced",
        "test made a claim code",
        "the PC is active now",
        "in contact",
    ):
        assert told in shown.text.replace(f"№{Assignment.objects.first().rollout_id}", "№1"), told
    assert len([each for each in entries if each.kind is EntryKind.CONTACT and each.is_day]) == 2
    assert all("Мактаби №2" not in entry.words for entry in entries)


def test_the_timeline_can_be_narrowed_to_one_kind(staff, school, release):
    _running(release, "ҳама=100%")
    school.word()
    kinds = {entry.kind for entry in page(staff, school, kind="install").context["rows"]}
    assert kinds == {EntryKind.INSTALL}


def test_a_failed_install_says_what_went_wrong(school, release):
    _running(release, "ҳама=100%")
    Assignment.objects.update(status="reverted", sequence=1, error_code="engine_failed", ended_at=timezone.now())
    with translation.override("en"):
        assert any("the engine could not run the model" in told for told in words(school, EntryKind.INSTALL))


def test_a_pcs_problems_and_rhythm_are_in_words(staff, school):
    away = timezone.now() - timedelta(days=40)
    Node.objects.update(problems=["disk_full", "never_heard_of"], contact_days=0b11111, last_contact_at=away)
    shown = page(staff, school).text
    assert "the disk is nearly full: somebody has to make room; another problem (never_heard_of)" in shown
    assert "about every 1 days; silent for longer than it ever is" in shown
    assert "about 4 GB of memory" in shown
    listed = staff.get("/admin/schools/node/").text
    assert "the disk is nearly full" in listed
    card = staff.get(f"/admin/schools/node/{school.node_id}/change/").text
    assert "disk_full" not in card
    assert "the disk is nearly full" in card


def test_a_school_without_a_pc_has_an_empty_timeline(staff):
    empty = School.objects.create(name="Мактаби нав", created_at=timezone.now())
    shown = staff.get(f"/admin/schools/school/{empty.pk}/timeline/").text
    assert "The school has no PC yet." in shown
    assert "Nothing yet." in shown


def test_who_may_not_see_schools_sees_no_timeline(client, school):
    client.force_login(get_user_model().objects.create_user("Далер", password="x", is_staff=True))
    assert page(client, school).status_code == 404


def test_the_timeline_has_no_queries_that_grow_with_entries(staff, school, release):
    _running(release, "ҳама=100%")
    school.send_parcels(rating_parcel(1))
    page(staff, school)
    with CaptureQueriesContext(connection) as few:
        page(staff, school)
    for number in range(2, 7):
        _running(release_make(number), "ҳама=100%")
        school.send_parcels(rating_parcel(number))
    with CaptureQueriesContext(connection) as many:
        assert len(page(staff, school).context["rows"].paginator.object_list) >= 10
    assert len(many) <= len(few)
