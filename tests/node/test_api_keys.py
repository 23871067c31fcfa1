"""API keys: who makes them, who sees them, whom they admit, and that the database holds none."""

import json

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.urls import reverse

from node.chat.api_keys import ApiKeyMissing, ApiKeyUnknown, api_key_admit, api_key_create, api_key_revoke
from node.chat.models import ApiKey
from tests.node.conftest import NOW

pytestmark = pytest.mark.django_db
TODAY = NOW.date()


@pytest.fixture
def desk(client, teacher, root):
    client.force_login(teacher)
    return client


@pytest.fixture
def head(db):
    user = User.objects.create_user("director")
    user.groups.add(Group.objects.get_or_create(name="head")[0])
    return user


def make(username="munira", name="OpenWebUI"):
    return api_key_create(username=username, name=name, now=NOW)


def refused(text):
    with pytest.raises(ApiKeyUnknown):
        api_key_admit(text=text, today=TODAY)


def test_a_key_admits_its_person_and_the_database_holds_no_key(teacher):
    key = make()
    assert key.text.startswith("soro-")
    assert api_key_admit(text=key.text, today=TODAY) == teacher.pk
    row = ApiKey.objects.values().get()
    assert key.text not in str(row)
    assert row["last_used_on"] == TODAY
    refused(key.text[:-1])
    refused("")


def test_a_revoked_key_admits_nobody(teacher):
    key, other = make(), make(name="LibreChat")
    api_key_revoke(number=key.number, owner_id=None, now=NOW)
    refused(key.text)
    assert api_key_admit(text=other.text, today=TODAY) == teacher.pk
    with pytest.raises(ApiKeyMissing):
        api_key_revoke(number=key.number, owner_id=None, now=NOW)


def test_the_keys_of_an_account_that_is_switched_off_admit_nobody(teacher):
    key = make()
    User.objects.update(is_active=False)
    refused(key.text)
    assert ApiKey.objects.get().last_used_on is None


def test_a_teacher_sees_a_new_key_once_and_revokes_it(desk):
    shown = desk.post(reverse("keys"), {"name": " OpenWebUI "})
    text = shown.context["fresh"].text
    assert text in shown.text
    assert "no-store" in shown.headers["Cache-Control"]
    key = ApiKey.objects.get()
    assert key.name == "OpenWebUI"
    again = desk.get(reverse("keys")).text
    assert "OpenWebUI" in again
    assert text not in again
    assert desk.post(reverse("key-revoke", args=[key.pk])).status_code == 302
    assert "OpenWebUI" not in desk.get(reverse("keys")).text
    refused(text)


@pytest.mark.parametrize("name", ["", "   ", "а" * 61])
def test_a_key_without_a_fit_name_is_not_made(desk, name):
    assert "аз 1 то 60 аломат" in desk.post(reverse("keys"), {"name": name}).text
    assert not ApiKey.objects.exists()


def test_a_teacher_neither_sees_nor_revokes_a_colleagues_key_and_the_head_does_both(desk, client, head):
    key = make()
    theirs = api_key_create(username="director", name="of the head", now=NOW)
    assert "of the head" not in desk.get(reverse("keys")).text
    assert desk.post(reverse("key-revoke", args=[theirs.number])).status_code == 404
    assert ApiKey.objects.in_force().count() == 2
    client.force_login(head)
    assert "munira" in client.get(reverse("keys")).text
    client.post(reverse("key-revoke", args=[key.number]))
    assert list(ApiKey.objects.in_force()) == [ApiKey.objects.get(pk=theirs.number)]


def test_a_pupil_and_a_guest_make_no_key_on_the_page(client, root):
    assert client.post(reverse("keys"), {"name": "x"}).status_code == 302
    pupil = User.objects.create_user("pupil")
    pupil.groups.add(Group.objects.get_or_create(name="pupil")[0])
    client.force_login(pupil)
    assert client.post(reverse("keys"), {"name": "x"}).status_code == 403
    assert not ApiKey.objects.exists()


def test_the_operator_makes_lists_and_revokes_keys(teacher, capsys):
    made = command(capsys, "create", "--username", "munira", "--name", "OpenWebUI")
    assert api_key_admit(text=made["key"], today=TODAY) == teacher.pk
    (listed,) = command(capsys, "list")["keys"]
    assert (listed["number"], listed["username"], listed["last_used_on"]) == (made["number"], "munira", str(TODAY))
    assert "key" not in listed
    command(capsys, "revoke", "--key", str(made["number"]))
    assert command(capsys, "list") == {"keys": []}
    refused(made["key"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "--username", "nobody", "--name", "x"), "There is no account called “nobody”."),
        (("revoke", "--key", "7"), "There is no key with the number 7."),
    ],
)
def test_a_key_command_that_cannot_do_its_work_says_why(capsys, monkeypatch, arguments, sentence):
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    with pytest.raises(SystemExit):
        call_command("api_key", *arguments)
    assert capsys.readouterr().err.strip() == sentence
    assert not ApiKey.objects.exists()


def command(capsys, *arguments):
    call_command("api_key", *arguments, "--json")
    return json.loads(capsys.readouterr().out)
