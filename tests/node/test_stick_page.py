"""The page «USB stick»: who may use it, what it offers, and how it tells what came of a stick."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from federation.trust.stick_disk import StickDisk
from federation.trust.stick_media import media_find
from node.stick.models import StickTrip
from node.stick.services import trip_begin
from node.sync.locks import stick_alone
from tests.node.conftest import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def stick(tmp_path, settings):
    disk = StickDisk(tmp_path / "KINGSTON")
    disk.place.mkdir()
    disk.prepare()
    settings.NODE_STICK_FOLDERS = [disk.place]
    return disk


@pytest.fixture
def desk(client, root, teacher):
    client.force_login(teacher)
    return client


def trip(stick, **fields):
    made = trip_begin(way=StickTrip.Way.BRING_IN, place=stick.place, now=timezone.now())
    StickTrip.objects.filter(pk=made.pk).update(**fields)
    return made


def test_a_pupil_has_no_business_with_sticks(client, root, stick):
    pupil = User.objects.create_user("dilshod", password="a-password")
    pupil.groups.add(Group.objects.get_or_create(name="pupil")[0])
    client.force_login(pupil)
    answers = [client.get("/stick/"), client.get("/stick/progress/"), client.post("/stick/start/", {"way": "bring_in"})]
    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert StickTrip.objects.count() == 0


def test_without_a_stick_the_page_says_what_to_do(desk):
    page = desk.get("/stick/").text
    assert "Флешка нест" in page
    assert "<progress" not in page


def test_the_status_page_leads_to_the_sticks(desk):
    assert 'href="/stick/"' in desk.get("/status/").text


def test_a_teacher_chooses_among_the_sticks_that_are_there(desk, stick):
    page = desk.get("/stick/").text
    assert f'value="{stick.place}"' in page
    assert "KINGSTON" in page
    assert 'value="bring_in"' in page
    assert 'value="write_out"' in page
    assert 'name="code"' in page


@pytest.mark.parametrize("fields", [{"way": "bring_in", "place": "/etc"}, {"way": "erase"}, {"place": "../KINGSTON"}])
def test_another_folder_or_another_way_is_not_begun(desk, stick, fields):
    answer = desk.post("/stick/start/", {"way": "bring_in", "place": str(stick.place)} | fields)
    assert answer.status_code == 404
    assert StickTrip.objects.count() == 0


def test_a_second_stick_waits_for_the_first(desk, stick, root):
    with stick_alone(root):
        page = desk.post("/stick/start/", {"way": "bring_in", "place": str(stick.place)}).text
    assert "банд аст" in page
    assert StickTrip.objects.count() == 0


def test_a_claim_for_another_centre_is_refused_in_a_sentence(desk, stick, root):
    claim = {"code": "12345-67890", "root_sha256": "0" * 64}
    page = desk.post("/stick/start/", {"way": "write_out", "place": str(stick.place)} | claim).text
    assert 'role="alert"' in page
    assert StickTrip.objects.count() == 0
    assert not (root / "claim.json").exists()


def test_the_bar_shows_how_far_a_trip_is_and_asks_again(desk, stick, root):
    trip(stick, step="release", bytes_done=1500, bytes_total=6000)
    with stick_alone(root):
        part = desk.get("/stick/progress/").text
    assert 'value="1500" max="6000"' in part
    assert 'hx-trigger="every 1s"' in part


def test_while_a_stick_is_in_hand_no_other_can_be_chosen_and_the_page_is_drawn_anew_at_the_end(desk, stick, root):
    made = trip(stick, step="release")
    with stick_alone(root):
        assert '<form method="post" action="/stick/start/"' not in desk.get("/stick/").text
    StickTrip.objects.filter(pk=made.pk).update(status="done", ended_at=NOW, outcome={"failures": []})
    answer = desk.get("/stick/progress/", headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"
    assert '<form method="post" action="/stick/start/"' in desk.get("/stick/").text


def test_a_trip_that_a_power_cut_ended_says_so_and_asks_no_more(desk, stick):
    trip(stick, step="release")
    part = desk.get("/stick/progress/").text
    assert "hx-trigger" not in part
    assert "чизе гум нашуд" in part
    assert StickTrip.objects.get().status == StickTrip.Status.FAILED


def test_a_trip_that_never_began_is_given_up_after_a_minute(desk, stick):
    trip(stick)
    assert "hx-trigger" in desk.get("/stick/progress/").text
    StickTrip.objects.update(started_at=timezone.now() - timedelta(minutes=2))
    assert "hx-trigger" not in desk.get("/stick/progress/").text


@pytest.mark.parametrize(
    ("language", "words"),
    [("tg", "Ба марказ расидааст"), ("ru", "Дошло до центра"), ("en", "have arrived at the centre")],
)
def test_the_end_is_told_in_the_readers_language(desk, stick, language, words):
    outcome = {"has_letter": True, "ratings_safe": 3, "failures": []}
    trip(stick, status="done", ended_at=NOW, outcome=outcome)
    desk.cookies["django_language"] = language
    part = desk.get("/stick/progress/").text
    assert words in part
    assert "3" in part


def test_an_end_that_failed_names_what_to_do(desk, stick):
    fields = {"needed_bytes": "1000", "free_bytes": "10"}
    trip(stick, status="failed", ended_at=NOW, error_code="stick_full", error_fields=fields)
    part = desk.get("/stick/progress/").text
    assert "1000" in part
    assert "bad" in part


def test_only_removable_media_are_offered(tmp_path):
    place = tmp_path / "mounted"
    place.mkdir()
    mounts = [
        "/dev/sda1 / ext4 rw 0 0",
        "proc /proc proc rw 0 0",
        "tmpfs /media/user/fake tmpfs rw 0 0",
        "/dev/sdb1 /media/user/absent vfat rw 0 0",
        "nonsense",
    ]
    found = media_find(mounts=mounts, folders=[place, tmp_path / "absent"])
    assert [(medium.place, medium.is_prepared) for medium in found] == [(place, False)]


def test_a_mounted_stick_is_offered_whatever_its_name(tmp_path):
    place = tmp_path / "Флешка 1"
    place.mkdir()
    line = f"/dev/sdb1 {str(place).replace(' ', chr(92) + '040')} vfat rw 0 0"
    (found,) = media_find(mounts=[line], folders=[], under=(f"{tmp_path}/",))
    assert (found.place, found.name) == (place, "Флешка 1")
