"""The status page: the one thing to do, why nothing newer runs, and who may see what."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from functools import partial

import pytest
from django.contrib.auth.models import Group, User
from django.test import override_settings
from django.urls import reverse
from django.utils import translation

import node.views
from federation.wire.canonical import to_plain
from federation.wire.releases import Assignment, InstallState
from node.arrival import Arrival, Held, Newer, newer_of
from node.next_step import NextStep, Standing, next_step
from node.programs.place import ProgramPlace
from node.programs.state import Update, gave_up, update_write
from node.status import status_read
from node.status_sentences import ARRIVALS, HELD, REFUSALS, STEPS, clock_sentence, newer_sentence
from node.sync.claim import Awaited
from node.sync.link_rule import LinkRule
from node.sync.models import SyncLog

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)
NOON = time(12)
DIGEST = "a" * 64
WELL = Standing(
    is_enrolled=True,
    awaited=Awaited.NOTHING,
    is_claim_refused=False,
    has_release=True,
    does_engine_answer=True,
    is_disk_short=False,
    is_memory_short=False,
    is_withdrawn=False,
    is_metadata_expired=False,
    is_restore_unsettled=False,
    clock_off_seconds=0.0,
    has_link=True,
    silent_for=timedelta(hours=1),
    backup_age=timedelta(days=1),
    newer=Newer(arrival=Arrival.NEWEST),
)
TROUBLES = [
    ({"is_disk_short": True}, NextStep.DISK),
    ({"is_restore_unsettled": True}, NextStep.LOOK_AFTER_RESTORE),
    ({"is_enrolled": False}, NextStep.ENROL),
    ({"clock_off_seconds": -300.0}, NextStep.CLOCK_SET),
    ({"has_release": False}, NextStep.MODEL_BRING),
    ({"does_engine_answer": False}, NextStep.ENGINE_LOOK),
    ({"is_withdrawn": True}, NextStep.MINISTRY_TELL),
    ({"silent_for": timedelta(days=8)}, NextStep.CENTRE_REACH),
    ({"is_memory_short": True}, NextStep.MEMORY_FREE),
    ({"backup_age": None}, NextStep.BACKUP_MAKE),
]


@pytest.mark.parametrize(("trouble", "step"), [({}, NextStep.ALL_WELL), *TROUBLES])
def test_one_trouble_alone_is_the_thing_to_do(trouble, step):
    assert next_step(replace(WELL, **trouble)) is step


def test_of_several_troubles_what_stops_pupils_comes_first():
    fields = {}
    for trouble, step in reversed(TROUBLES):
        fields |= trouble
        assert next_step(replace(WELL, **fields)) is step


@pytest.mark.parametrize(
    ("fields", "step"),
    [
        ({"is_enrolled": False, "awaited": Awaited.LINK_OR_STICK}, NextStep.ENROL_AWAIT),
        ({"is_enrolled": False, "awaited": Awaited.STICK}, NextStep.ENROL_AWAIT_STICK),
        ({"is_enrolled": False, "awaited": Awaited.LINK_OR_STICK, "is_claim_refused": True}, NextStep.ENROL_ANEW),
        ({"silent_for": timedelta(days=20), "has_link": False}, NextStep.ALL_WELL),
        ({"silent_for": timedelta(days=31), "has_link": False}, NextStep.CENTRE_REACH),
        ({"silent_for": None}, NextStep.CENTRE_REACH),
        ({"is_metadata_expired": True}, NextStep.CENTRE_REACH),
        ({"clock_off_seconds": 299.0}, NextStep.ALL_WELL),
        ({"backup_age": timedelta(days=31)}, NextStep.BACKUP_MAKE),
        ({"newer": Newer(arrival=Arrival.REFUSED, reason="disk_full")}, NextStep.MINISTRY_TELL),
        ({"newer": Newer(arrival=Arrival.HELD, reason="skipped_here")}, NextStep.MINISTRY_TELL),
        ({"newer": Newer(arrival=Arrival.HELD, reason="wave_not_open")}, NextStep.ALL_WELL),
    ],
)
def test_where_the_line_is_drawn(fields, step):
    assert next_step(replace(WELL, **fields)) is step


def word(**fields):
    given = {"release": DIGEST, "rollout": "r", "wave": 1, "waiting_reason": "", "variant": ""}
    return Assignment(node_id="n", sequence=1, issued_at=NOW, **(given | fields))


def held(state, code=""):
    return Held(state=state, error_code=code, bytes_fetched=5_000_000)


@pytest.mark.parametrize(
    ("assignment", "record", "rule", "expected"),
    [
        (None, None, LinkRule(), Newer(arrival=Arrival.UNHEARD)),
        (word(release="b" * 64), None, LinkRule(), Newer(arrival=Arrival.NEWEST)),
        (
            word(release=None, waiting_reason="rollout_paused"),
            None,
            LinkRule(),
            Newer(arrival=Arrival.HELD, reason="rollout_paused"),
        ),
        (word(), None, LinkRule(), Newer(arrival=Arrival.COMING)),
        (
            word(),
            held(InstallState.DOWNLOADING),
            LinkRule(opens_at=time(18), closes_at=time(6)),
            Newer(arrival=Arrival.WINDOW, bytes_fetched=5_000_000, opens="18:00", closes="06:00"),
        ),
        (
            word(is_forced=True),
            held(InstallState.DOWNLOADING),
            LinkRule(opens_at=time(18), closes_at=time(6)),
            Newer(arrival=Arrival.COMING, bytes_fetched=5_000_000),
        ),
        (
            word(activates_at=NOW + timedelta(days=1)),
            held(InstallState.STAGED),
            LinkRule(),
            Newer(arrival=Arrival.DATE, activates_at=NOW + timedelta(days=1)),
        ),
        (
            word(opens_minute=18 * 60, closes_minute=6 * 60),
            held(InstallState.STAGED),
            LinkRule(),
            Newer(arrival=Arrival.HOURS, opens="18:00", closes="06:00"),
        ),
        (word(), held(InstallState.STAGED), LinkRule(), Newer(arrival=Arrival.STAGED)),
        (word(), held(InstallState.TESTING), LinkRule(), Newer(arrival=Arrival.TESTING)),
        (word(release="b" * 64), held(InstallState.TRIAL), LinkRule(), Newer(arrival=Arrival.TRIAL)),
        (
            word(),
            held(InstallState.SKIPPED, "memory_too_small"),
            LinkRule(),
            Newer(arrival=Arrival.REFUSED, reason="memory_too_small"),
        ),
    ],
)
def test_why_nothing_newer_runs_yet(assignment, record, rule, expected):
    assert newer_of(assignment=assignment, held=record, running="b" * 64, rule=rule, now=NOW, here=NOON) == expected


def test_each_step_and_each_arrival_has_a_sentence_in_each_language():
    newers = [Newer(arrival=arrival, reason="x") for arrival in Arrival]
    newers += [Newer(arrival=Arrival.HELD, reason=reason) for reason in HELD]
    newers += [Newer(arrival=Arrival.REFUSED, reason=reason) for reason in (*REFUSALS, "memory_too_small")]
    said = {}
    for language in ("tg", "ru", "en"):
        with translation.override(language):
            said[language] = [*(str(STEPS[step]) for step in NextStep), *map(newer_sentence, newers)]
            assert not any("%(" in sentence for sentence in said[language])
            assert len(set(said[language])) >= len(NextStep) + len(Arrival) + len(HELD) + len(REFUSALS) - 2
    assert all(len({*words}) == 3 for words in zip(*said.values(), strict=True))
    assert set(ARRIVALS) == set(Arrival) - {Arrival.HELD, Arrival.REFUSED}


def test_a_clock_is_ahead_or_behind():
    with translation.override("en"):
        assert (clock_sentence(600), clock_sentence(-90)) == ("ahead by 10 min", "behind by 2 min")


@pytest.mark.django_db
def test_the_status_is_read_as_a_document_and_knows_how_far_the_clock_was_off(root):
    SyncLog.objects.create(tick="t", step="time", started_at=NOW, seconds=1, detail="skew +420 s")
    status = status_read(root=root, now=NOW)
    assert (status.clock_off_seconds, status.next_step) == (420.0, NextStep.ENROL)
    assert to_plain(status)["newer"]["arrival"] == "unheard"


def person(name, role):
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


HEADS_DOORS = [
    ("get", "backup", {}),
    ("get", "backup-progress", {}),
    ("get", "backup-download", {}),
    ("post", "backup-make", {"place": "here"}),
    ("post", "backup-restore", {"file": "x"}),
    ("post", "backup-settle", {"works": "1"}),
    ("post", "backup-stop", {}),
    ("get", "link", {}),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "name", "fields"), HEADS_DOORS)
def test_the_heads_doors_are_shut_to_all_others(client, root, method, name, fields):
    ask = getattr(client, method)
    assert ask(reverse(name), fields).url.startswith("/sign-in/")
    for role in ("pupil", "teacher"):
        client.force_login(person(role, role))
        assert ask(reverse(name), fields).status_code == 403
    assert sorted(path.name for path in root.iterdir()) == []


@pytest.mark.django_db
def test_a_teacher_sees_the_status_without_the_heads_doors_and_a_pupil_nothing(client, root):
    client.force_login(person("rahim", "teacher"))
    page = client.get(reverse("status")).text
    assert 'data-step="enrol"' in page
    assert reverse("backup") not in page
    client.force_login(person("mudir", "head"))
    page = client.get(reverse("status")).text
    assert reverse("backup") in page
    assert reverse("link") in page
    client.force_login(person("dilshod", "pupil"))
    assert client.get(reverse("status")).status_code == 403


@pytest.mark.django_db
def test_the_head_is_told_what_is_wrong_before_anything_begins(client, root):
    client.force_login(person("mudir", "head"))
    make = reverse("backup-make")
    assert "10 аломат" in client.post(make, {"place": "here", "passphrase": "short", "again": "short"}).text
    assert "10 аломат" in client.post(make, {"place": "here", "passphrase": "a" * 12, "again": "b" * 12}).text
    assert client.post(make, {"place": "/etc", "passphrase": "a" * 12, "again": "a" * 12}).status_code == 404
    for file in ("/etc/passwd", "../../node.sqlite3", ""):
        assert client.post(reverse("backup-restore"), {"file": file, "passphrase": "a" * 12}).status_code == 404
        assert client.get(reverse("backup-download"), {"file": file}).status_code == 404
    assert not (root / "backup.json").exists()


@pytest.mark.django_db
@pytest.mark.parametrize("works", ["0", "1"])
def test_where_nothing_was_restored_there_is_nothing_to_settle(client, root, works):
    client.force_login(person("mudir", "head"))
    assert 'role="alert"' in client.post(reverse("backup-settle"), {"works": works}).text
    assert not (root / "backup.json").exists()


@pytest.mark.django_db
@override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])
def test_a_given_password_is_asked_to_be_replaced_and_the_change_ends_other_sessions(client, root, teacher):
    other = type(client)()
    signed = {"username": "munira", "password": "a-password"}
    first = client.post(reverse("sign-in"), signed)
    assert first.url.startswith(reverse("password") + "?next=")
    # The second time nobody is held up.
    assert other.post(reverse("sign-in"), signed).url == reverse("chat")
    fields = {"password": "a-password", "new": "a longer password", "again": "a longer password"}
    for wrong in ({"password": "no"}, {"again": "another password"}, {"new": "short", "again": "short"}):
        assert 'role="alert"' in client.post(reverse("password"), fields | wrong).text
    assert other.get(reverse("status")).status_code == 200
    assert client.post(reverse("password") + "?next=https://elsewhere.example/", fields).url == reverse("chat")
    assert client.get(reverse("status")).status_code == 200
    assert other.get(reverse("status")).status_code == 302
    teacher.refresh_from_db()
    assert teacher.check_password("a longer password")


@pytest.mark.django_db
def test_a_pupil_and_a_guest_have_no_password_to_change(client, root):
    assert client.get(reverse("password")).url.startswith("/sign-in/")
    dilshod = person("dilshod", "pupil")
    # Pupils have none; an account of theirs that was given one is led to the chat, not to a page that is not for them.
    dilshod.set_password("a-password")
    dilshod.save()
    signed = client.post(reverse("sign-in"), {"username": "dilshod", "password": "a-password"})
    assert signed.url == reverse("chat")
    assert client.get(reverse("password")).status_code == 403


@pytest.fixture
def place(tmp_path):
    """A program that an installation stick has laid."""
    opt = tmp_path / "opt"
    (opt / "versions" / "1-a").mkdir(parents=True)
    (opt / "versions" / "1-a" / "manifest.json").write_text('{"version": "1-a"}')
    (opt / "current").symlink_to("versions/1-a")
    return ProgramPlace(opt=opt)


@pytest.mark.django_db
def test_the_program_and_what_became_of_a_newer_one_are_told(client, root, place, monkeypatch):
    monkeypatch.setattr(node.views, "status_read", partial(status_read, place=place))
    client.force_login(person("rahim", "teacher"))

    def page():
        return client.get(reverse("status")).text

    assert "<dt>Барнома</dt><dd>1-a</dd>" in page()

    update_write(place.opt, gave_up(Update(), digest=DIGEST, version="2-b", code="program_page_silent", now=NOW))
    assert "Нусхаи 2-b дар ин ҷо озмуда ва бозпас гирифта шуд: саҳифаи он ҷавоб надод." in page()

    (place.opt / "update.json").write_text("{")
    assert "(update_state_unreadable); ба вазорат хабар диҳед." in page()


@pytest.mark.django_db
def test_a_program_that_nothing_updates_is_not_told(root):
    assert status_read(root=root, now=NOW, place=None).program is None
