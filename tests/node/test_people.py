"""Pupils come in by class code and PIN, guessing is slow, and the head keeps the accounts."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import get_resolver, reverse
from django.urls.converters import IntConverter, StringConverter, UUIDConverter
from django.utils import timezone

from node.accounts import Role, account_create
from node.people.entering import CodeUnknown, PinWrong, class_find, pupil_enter
from node.people.guessing import GuessesTooMany
from node.people.importing import roll_import
from node.people.models import Guess, Pupil, SchoolClass
from node.people.roll import RollProblem, RollRefused
from node.people.services import (
    PeopleRefused,
    account_switch,
    class_change,
    class_code_renew,
    class_create,
    guests_allow,
    pupil_create,
    pupil_move,
    pupil_pin_renew,
    teacher_create,
)
from node.people.throttle import Door, wait_seconds
from tests.node.conftest import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def school_class(db, teacher):
    made = class_create(name="6а")
    class_change(school_class=made, asks_pin=True, teacher_ids=[teacher.pk])
    made.refresh_from_db()
    return made


@pytest.fixture
def fresh(school_class):
    return pupil_create(school_class=school_class, last_name="Каримова", first_name="Ҷамила")


@pytest.fixture
def head(db):
    account = account_create(username="sarvar", role=Role.HEAD)
    return User.objects.get(username=account.username)


@pytest.fixture
def office(client, head, root):
    client.force_login(head)
    return client


def enter(school_class, pupil, pin, *, address="10.0.0.7", now=NOW):
    return pupil_enter(school_class=school_class, pupil_id=pupil.pk, pin=pin, address=address, now=now)


def other_than(pin):
    return "0000" if pin != "0000" else "1111"


def browse_in(browser, school_class, pupil, pin):
    browser.post(reverse("class-code"), {"code": f"{school_class.code[:4]} {school_class.code[4:]}"})
    return browser.post(reverse("class-who"), {"pupil": pupil.pk, "pin": pin})


def test_a_pupil_comes_in_by_class_code_picture_and_pin(client, root, school_class, fresh):
    client.post(reverse("class-code"), {"code": school_class.code})
    shown = client.get(reverse("class-who")).text
    assert "Ҷамила Каримова" in shown
    assert f"pictures.svg#{fresh.pupil.picture[:-2]}" in shown
    assert client.post(reverse("class-who"), {"pupil": fresh.pupil.pk, "pin": fresh.pin}).url == reverse("chat")
    assert int(client.session["_auth_user_id"]) == fresh.pupil.person_id
    assert client.session.get_expiry_age() <= 90 * 60
    assert "Ҷамила Каримова" in client.get("/").text


def test_the_names_of_a_class_are_not_shown_without_its_code(client, root, school_class, fresh):
    assert client.get(reverse("class-who")).url == reverse("class-code")
    shown = client.post(reverse("class-code"), {"code": "12345678" if school_class.code != "12345678" else "1"})
    assert "Ҷамила" not in shown.text
    client.cookies["class"] = school_class.code
    assert client.get(reverse("class-who")).url == reverse("class-code")


def test_a_wrong_pin_lets_nobody_in(client, root, school_class, fresh):
    shown = browse_in(client, school_class, fresh.pupil, other_than(fresh.pin))
    assert "PIN нодуруст аст" in shown.text
    assert "_auth_user_id" not in client.session


def test_a_device_that_remembers_a_class_asks_again_after_the_code_was_renewed(client, root, school_class, fresh):
    client.post(reverse("class-code"), {"code": school_class.code})
    assert client.get(reverse("class-who")).status_code == 200
    class_code_renew(school_class=school_class)
    assert client.get(reverse("class-who")).url == reverse("class-code")


def test_a_pupil_of_another_class_does_not_come_in_by_this_ones_code(school_class, fresh):
    with pytest.raises(PinWrong):
        enter(class_create(name="7Б"), fresh.pupil, fresh.pin)


def test_a_class_without_pins_asks_for_none_and_one_with_them_hears_no_empty_one(school_class, fresh):
    with pytest.raises(PinWrong):
        enter(school_class, fresh.pupil, "")
    class_change(school_class=school_class, asks_pin=False, teacher_ids=[])
    assert enter(school_class, fresh.pupil, "") == fresh.pupil


def test_an_account_that_is_switched_off_is_out_at_once_and_stays_out(client, root, school_class, fresh):
    browse_in(client, school_class, fresh.pupil, fresh.pin)
    account_switch(person=fresh.pupil.person, is_active=False)
    assert "Ҷамила" not in client.get("/").text
    with pytest.raises(PinWrong):
        enter(school_class, fresh.pupil, fresh.pin)


def test_a_new_pin_ends_the_old_one_and_its_sessions(client, root, school_class, fresh):
    browse_in(client, school_class, fresh.pupil, fresh.pin)
    renewed = pupil_pin_renew(pupil=fresh.pupil)
    while renewed.pin == fresh.pin:
        renewed = pupil_pin_renew(pupil=fresh.pupil)
    assert "Ҷамила" not in client.get("/").text
    pupil = Pupil.objects.get()
    with pytest.raises(PinWrong):
        enter(school_class, pupil, fresh.pin)
    assert enter(school_class, pupil, renewed.pin) == pupil


def test_no_pin_is_in_the_database_and_no_pupil_has_a_password(school_class, fresh):
    row = Pupil.objects.get()
    assert fresh.pin not in row.pin_hash
    assert not row.person.has_usable_password()


def test_the_sixth_guess_at_a_pin_waits_even_where_it_is_right(school_class, fresh):
    for number in range(5):
        with pytest.raises(PinWrong):
            enter(school_class, fresh.pupil, other_than(fresh.pin), address=f"10.0.0.{number}")
    with pytest.raises(GuessesTooMany) as refused:
        enter(school_class, fresh.pupil, fresh.pin, address="10.0.0.9")
    assert refused.value.fields == {"wait_seconds": 15}
    assert enter(school_class, fresh.pupil, fresh.pin, now=NOW + timedelta(seconds=15)) == fresh.pupil
    assert enter(school_class, fresh.pupil, fresh.pin, now=NOW + timedelta(seconds=15)) == fresh.pupil


def test_a_pupil_who_knows_the_own_pin_cannot_clear_the_way_to_anothers(school_class, fresh):
    other = pupil_create(school_class=school_class, last_name="", first_name="Комрон")
    for _ in range(5):
        enter(school_class, other.pupil, other.pin)
        with pytest.raises(PinWrong):
            enter(school_class, fresh.pupil, other_than(fresh.pin))
    with pytest.raises(GuessesTooMany):
        enter(school_class, fresh.pupil, fresh.pin)
    assert enter(school_class, other.pupil, other.pin) == other.pupil


def test_a_device_that_guesses_codes_waits_a_minute_at_most(school_class):
    for _ in range(20):
        with pytest.raises(CodeUnknown):
            class_find(code="1", address="10.0.0.7", now=NOW)
    with pytest.raises(GuessesTooMany):
        class_find(code=school_class.code, address="10.0.0.7", now=NOW)
    assert class_find(code=school_class.code, address="10.0.0.8", now=NOW) == school_class
    Guess.objects.update(failures=10_000)
    assert class_find(code=school_class.code, address="10.0.0.7", now=NOW + timedelta(minutes=1)) == school_class


def test_a_clock_that_fell_back_keeps_nobody_out(school_class, fresh):
    for _ in range(5):
        with pytest.raises(PinWrong):
            enter(school_class, fresh.pupil, other_than(fresh.pin))
    assert enter(school_class, fresh.pupil, fresh.pin, now=NOW - timedelta(days=9000)) == fresh.pupil


def test_a_day_without_a_mistake_forgives_all_and_forgets_it(school_class, fresh):
    for _ in range(5):
        with pytest.raises(PinWrong):
            enter(school_class, fresh.pupil, other_than(fresh.pin))
    with pytest.raises(CodeUnknown):
        class_find(code="1", address="10.0.0.99", now=NOW + timedelta(days=1))
    assert Guess.objects.count() == 1
    for _ in range(5):
        with pytest.raises(PinWrong):
            enter(school_class, fresh.pupil, other_than(fresh.pin), now=NOW + timedelta(days=1))
    with pytest.raises(GuessesTooMany):
        enter(school_class, fresh.pupil, fresh.pin, now=NOW + timedelta(days=1))


@pytest.mark.parametrize(
    ("failures", "since_seconds", "wait"),
    [(4, 0, 0), (5, 0, 15), (5, 10, 5), (6, 0, 30), (12, 0, 1920), (13, 0, 3600), (10**9, 0, 3600), (99, 86400, 0)],
)
def test_the_wait_doubles_up_to_an_hour_and_a_day_forgives(failures, since_seconds, wait):
    assert wait_seconds(door=Door.PUPIL, failures=failures, since_seconds=since_seconds) == wait


def test_who_guesses_at_a_teachers_password_waits_a_minute_at_most(client, root, teacher):
    wrong = {"username": "munira", "password": "wrong"}
    for _ in range(10):
        assert "Ном ё парол нодуруст аст" in client.post(reverse("sign-in"), wrong).text
    shown = client.post(reverse("sign-in"), {"username": "munira", "password": "a-password"})
    assert "Кӯшишҳои нодуруст аз ҳад зиёданд" in shown.text
    assert "_auth_user_id" not in client.session
    Guess.objects.update(failures=10_000, failed_at=timezone.now() - timedelta(minutes=1))
    assert client.post(reverse("sign-in"), {"username": "munira", "password": "a-password"}).status_code == 302


def test_guests_ask_only_while_the_head_lets_them(client, office, root, fresh, school_class):
    stranger = Client()
    assert stranger.get("/").status_code == 200
    assert "Бе даромадан ҳам" in stranger.get(reverse("sign-in")).text
    office.post(reverse("guests"), {"allowed": "0"})
    assert stranger.get("/").url == "/sign-in/?next=/"
    assert stranger.post("/ask/", {"question": "Чаро?"}).status_code == 302
    assert "Бе даромадан ҳам" not in stranger.get(reverse("sign-in")).text
    assert stranger.get("/v1/models").status_code == 401
    assert browse_in(stranger, school_class, fresh.pupil, fresh.pin).url == reverse("chat")
    assert stranger.get("/").status_code == 200
    office.post(reverse("guests"), {"allowed": "1"})
    assert Client().get("/").status_code == 200


def test_guests_who_are_shut_out_reach_no_door_but_those_that_let_people_in(root, answer):
    guests_allow(is_allowed=False)
    reached = set()
    for name, arguments in addresses(answer):
        for answered in (Client().get(reverse(name, args=arguments)), Client().post(reverse(name, args=arguments))):
            if not (answered.status_code == 302 and answered.url.startswith("/sign-in/?next=")):
                reached.add(name)
    assert reached == OPEN | PROGRAMS


OPEN = {
    "sign-in", "sign-out", "set_language", "class-code", "class-who", "class-leave", "manifest", "service-worker",
    "offline", "telephones", "telephones-certificate",
}  # fmt: skip
# Behind a bearer key, not a session.
PROGRAMS = {"chat-completions", "models", "model"}
PUPILS = {
    "chat", "conversation", "ask", "lesson", "answer-again", "answer-stream", "answer-stop", "passing",
    "passing-answer", "history", "conversation-rename", "conversation-delete", "passage",
}  # fmt: skip
# A new address of a teacher or head needs no line here; one that pupils may use does.


def addresses(answer):
    """Yield the name of every address and what stands in it: something that is there, where there is anything."""
    values = {UUIDConverter: answer.pk, IntConverter: 1, StringConverter: "r"}
    for pattern in get_resolver().url_patterns:
        if pattern.name:
            converters = pattern.pattern.converters
            own = {"conversation_id": answer.turn.conversation_id}
            yield pattern.name, [own.get(name, values[type(kind)]) for name, kind in converters.items()]


def test_a_pupil_reaches_no_address_of_a_teacher(client, root, answer, school_class, fresh):
    browse_in(client, school_class, fresh.pupil, fresh.pin)
    guarded = [(name, args) for name, args in addresses(answer) if name not in OPEN | PROGRAMS | PUPILS]
    assert len(guarded) >= 25
    for name, arguments in guarded:
        path = reverse(name, args=arguments)
        statuses = {client.get(path).status_code, client.post(path).status_code}
        assert statuses <= {403, 405}, name
        assert 403 in statuses, name
    assert not User.objects.filter(is_active=False).exists()
    assert client.get("/").status_code == 200


def test_a_teacher_reaches_none_of_the_heads_addresses(client, root, teacher, school_class, fresh):
    client.force_login(teacher)
    heads = {
        "guests": [], "roll": [], "teacher-add": [], "class-add": [],
        "password-renew": [teacher.pk], "account-switch": [teacher.pk],
        "diagnosis-make": [],
        "class-change": [school_class.pk], "pupil-add": [school_class.pk], "pupil-move": [fresh.pupil.pk],
    }  # fmt: skip
    for name, arguments in heads.items():
        assert client.post(reverse(name, args=arguments), {"name": "9Г", "active": "0"}).status_code == 403, name
    assert {client.get(reverse(name)).status_code for name in ("accounts", "diagnosis")} == {403}
    assert (SchoolClass.objects.count(), Pupil.objects.count()) == (1, 1)
    assert User.objects.get(pk=teacher.pk).is_active


def test_a_teacher_gives_new_pins_to_the_own_class_alone(client, root, teacher, school_class, fresh):
    client.force_login(teacher)
    assert client.post(reverse("pin-renew", args=[fresh.pupil.pk])).status_code == 200
    foreign = pupil_create(school_class=class_create(name="8В"), last_name="", first_name="Азиз")
    before = Pupil.objects.get(pk=foreign.pupil.pk).pin_hash
    assert client.post(reverse("pin-renew", args=[foreign.pupil.pk])).status_code == 404
    assert client.get(reverse("class", args=[foreign.pupil.school_class_id])).status_code == 404
    assert client.post(reverse("code-renew", args=[foreign.pupil.school_class_id])).status_code == 404
    assert Pupil.objects.get(pk=foreign.pupil.pk).pin_hash == before


def test_a_roll_gives_everybody_an_account_that_lets_them_in(office, client):
    content = "насаб,ном,синф,нақш,username\nКаримова,Ҷамила,6А,,\nШарипов,Фирӯз,6А+7Б,омӯзгор,firuz\n"
    shown = office.post(reverse("roll"), {"roll": SimpleUploadedFile("roll.csv", content.encode())})
    assert "no-store" in shown.headers["Cache-Control"]
    taken = shown.context["taken"]
    assert taken.pupils[0].pin in shown.text
    pupil = taken.pupils[0].pupil
    assert browse_in(Client(), pupil.school_class, pupil, taken.pupils[0].pin).url == reverse("chat")
    assert Client().login(username="firuz", password=taken.teachers[0].password)
    assert [one.name for one in User.objects.get(username="firuz").classes.order_by("name")] == ["6А", "7Б"]


def test_a_roll_with_one_bad_line_changes_nothing_and_names_each_bad_line(office, school_class, fresh, teacher):
    content = (
        "насаб,ном,синф,нақш,username\nКаримова,Ҷамила,6А,,\nНав,Одам,9Г,,\nШ,Ф,7Б,омӯзгор,MUNIRA\nШ,Ф,7Б,омӯзгор,a b\n"
    )
    people = (User.objects.count(), Pupil.objects.count(), SchoolClass.objects.count())
    with pytest.raises(RollRefused) as refused:
        roll_import(content=content.encode())
    assert refused.value.problems == (
        RollProblem(2, "pupil_there_already"),
        RollProblem(4, "username_taken"),
        RollProblem(5, "username_not_a_name"),
    )
    shown = office.post(reverse("roll"), {"roll": SimpleUploadedFile("roll.csv", content.encode())}).text
    assert "Сатри 2: Дар синф аллакай хонандаи ҳамин ном ҳаст." in shown
    assert (User.objects.count(), Pupil.objects.count(), SchoolClass.objects.count()) == people


def test_the_last_head_cannot_be_switched_off(head):
    with pytest.raises(PeopleRefused):
        account_switch(person=head, is_active=False)
    assert User.objects.get(pk=head.pk).is_active
    second = User.objects.get(username=account_create(username="nigora", role=Role.HEAD).username)
    account_switch(person=head, is_active=False)
    with pytest.raises(PeopleRefused):
        account_switch(person=second, is_active=False)


def test_a_class_has_one_name_and_a_pupil_one_place(school_class, fresh):
    with pytest.raises(PeopleRefused):
        class_create(name="6A")
    with pytest.raises(PeopleRefused):
        pupil_create(school_class=school_class, last_name="Каримова", first_name=" Ҷамила ")
    assert (SchoolClass.objects.count(), Pupil.objects.count()) == (1, 1)
    pupil_move(pupil=fresh.pupil, school_class=class_create(name="7А"))
    assert Pupil.objects.get().school_class.name == "7А"


def test_the_head_makes_a_class_a_pupil_and_a_teacher_on_the_pages(office):
    made = office.post(reverse("class-add"), {"name": "5б"})
    school_class = SchoolClass.objects.get()
    assert made.url == reverse("class", args=[school_class.pk])
    shown = office.post(reverse("pupil-add", args=[school_class.pk]), {"first_name": "Сорбон", "last_name": "Алиев"})
    assert shown.context["fresh"].pin in shown.text
    shown = office.post(reverse("teacher-add"), {"username": "zarrina", "first_name": "Заррина", "last_name": ""})
    assert shown.context["fresh"].password in shown.text
    zarrina = User.objects.get(username="zarrina")
    office.post(reverse("class-change", args=[school_class.pk]), {"teachers": [zarrina.pk]})
    school_class.refresh_from_db()
    assert (school_class.asks_pin, list(school_class.teachers.all())) == (False, [zarrina])
    shown = office.get(reverse("accounts")).text
    assert f"{school_class.code[:4]} {school_class.code[4:]}" in shown


def test_a_pupil_cannot_be_made_a_teacher_of_a_class(school_class, fresh):
    class_change(school_class=school_class, asks_pin=True, teacher_ids=[fresh.pupil.person_id])
    assert not school_class.teachers.exists()


def test_a_teachers_name_that_is_too_long_leaves_no_account_behind(db):
    with pytest.raises(PeopleRefused):
        teacher_create(username="long", last_name="а" * 61, first_name="", classes=())
    assert not User.objects.exists()
