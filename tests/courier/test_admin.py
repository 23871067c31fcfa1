"""The admin's pages for sticks: a ZIP file for a region or for schools, and taking in what came back."""

import io
import zipfile

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile

from central.courier.models import RefusedRequest, Trip
from central.feedback.models import Rating
from central.schools.models import School
from tests.courier.conftest import rate
from tests.courier.test_faults import zipped


@pytest.fixture
def admin(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    return client


def unpacked(answer, folder):
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        assert packed.testzip() is None
        packed.extractall(folder)


def test_a_zip_file_of_the_page_is_a_whole_stick_once_unpacked(
    centre, enrolled, stick, teacher, package, admin, tmp_path
):
    release = centre.publish(package)
    centre.roll_out(release)
    answer = admin.post("/admin/courier/trip/write/", {"regions": ["Хатлон"]})
    assert answer.headers["Content-Type"] == "application/zip"
    other = type(stick)(tmp_path / "unpacked")
    other.place.mkdir()
    unpacked(answer, other.place)
    outcome = enrolled.bring_in(other)
    assert (outcome.release_state, outcome.failures) == ("trial", ())
    trip = Trip.objects.first()
    assert (trip.kind, trip.actor, trip.schools, trip.place) == ("to_schools", "Гулнора", 1, "ZIP")


def test_a_region_gets_no_letter_for_another(centre, enrolled, admin):
    School.objects.create(name="Мактаби №9", region="Суғд", created_at=centre.clock())
    answer = admin.post("/admin/courier/trip/write/", {"regions": ["Суғд"]})
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as packed:
        names = packed.namelist()
    assert "soro/tuf/metadata/timestamp.json" in names
    assert not [name for name in names if "/letters/" in name]


def test_the_action_on_schools_leads_to_the_page_with_them_chosen(centre, enrolled, admin):
    school = School.objects.get()
    answer = admin.post("/admin/schools/school/", {"action": "write_stick", "_selected_action": [school.pk]})
    assert answer.url == f"/admin/courier/trip/write/?schools={school.pk}"
    assert f'<option value="{school.pk}" selected' in admin.get(answer.url).text


def test_an_uploaded_zip_file_is_taken_in_and_told_of(centre, enrolled, stick, teacher, admin):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    sent = SimpleUploadedFile("stick.zip", zipped(stick.place).getvalue())
    answer = admin.post("/admin/courier/trip/take-in/", {"packed": sent}, follow=True)
    assert "stick.zip" in answer.text
    assert Rating.objects.count() == 1


def test_a_mounted_stick_is_taken_in_and_its_problems_are_shown(centre, enrolled, stick, teacher, admin, settings):
    rate(enrolled, teacher)
    enrolled.write_out(stick)
    (damaged,) = stick.place.rglob("parcels-0001.sealed")
    damaged.write_bytes(b"damaged")
    settings.STICK_FOLDERS = [stick.place]
    answer = admin.post("/admin/courier/trip/take-in/", {"place": str(stick.place)}, follow=True)
    assert "Мактаби №1 · parcels" in answer.text
    assert Rating.objects.count() == 0


@pytest.mark.parametrize("fields", [{}, {"place": "/etc"}])
def test_a_form_without_a_stick_that_is_there_takes_nothing_in(centre, admin, fields):
    assert admin.post("/admin/courier/trip/take-in/", fields).status_code == 200
    assert Trip.objects.count() == 0


def test_what_is_no_zip_file_is_refused_in_a_sentence(centre, admin):
    sent = SimpleUploadedFile("stick.zip", b"words")
    assert "ZIP" in admin.post("/admin/courier/trip/take-in/", {"packed": sent}, follow=True).text
    assert Trip.objects.count() == 0


def test_who_may_not_add_trips_neither_writes_nor_reads_sticks(client, centre):
    user = get_user_model().objects.create_user("Далер", password="x", is_staff=True)
    client.force_login(user)
    for page in ("write", "take-in"):
        assert client.post(f"/admin/courier/trip/{page}/", {}).status_code == 403
    assert (Trip.objects.count(), RefusedRequest.objects.count()) == (0, 0)
