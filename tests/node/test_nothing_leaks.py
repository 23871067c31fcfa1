"""Of a pupil's words only those leave the school that a teacher saw and sent: every byte on the link and in logs.

The words are such as stand nowhere else. Those that a teacher sent are looked for, too, and must be found: otherwise
the search would be blind.
"""

import logging

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from node.accounts import Role, account_create
from node.chat.models import Answer, Turn
from node.outbox.models import Parcel
from node.people.services import class_change, class_create, pupil_create
from node.ratings.models import Rating
from node.status import status_read
from node.sync.services import Contact
from node.sync.transport import CountingTransport
from tests.leaks import ListeningTransport, words_found
from tests.node.test_sync import NO_WAITING
from tests.node.textbook_files import book_read

pytestmark = pytest.mark.django_db

NEVER_RATED, TAPPED, HELD, MASKED, WITHDRAWN = "зумрадқаноти", "лоларухсори", "сангинкӯҳи", "Оббурдоно", "нурафшонаки"
NAME, PIN_AND_NAME = "Ҷавҳарнисо", "Қаҳрамонпур"
SENT = "гулбаргакҳои"
SECRET = {NEVER_RATED, TAPPED, HELD, MASKED, WITHDRAWN, NAME, PIN_AND_NAME}


@pytest.fixture
def pupil(teacher):
    school_class = class_create(name="6А")
    class_change(school_class=school_class, asks_pin=True, teacher_ids=[teacher.pk])
    return pupil_create(school_class=school_class, last_name=PIN_AND_NAME, first_name=NAME)


@pytest.fixture
def pupils_browser(school, pupil):
    browser = Client(raise_request_exception=False)
    browser.post(reverse("class-code"), {"code": pupil.pupil.school_class.code})
    browser.post(reverse("class-who"), {"pupil": pupil.pupil.pk, "pin": pupil.pin})
    return browser


@pytest.fixture
def teachers_browser(school, teacher):
    browser = Client(raise_request_exception=False)
    browser.force_login(teacher)
    return browser


def asked(browser, question, text="Чизе."):
    browser.post(reverse("ask"), {"question": question})
    turn = Turn.objects.get(question=question)
    Answer.objects.filter(turn=turn).update(
        status="finished", text=text, release="c" * 64, release_version=1, finished_at=timezone.now()
    )
    return Answer.objects.get(turn=turn)


def contact(root):
    listening = ListeningTransport()
    counter = CountingTransport(listening)
    with httpx.Client(transport=counter) as http:
        report = Contact(root=root, http=http, counter=counter, clock=timezone.now, times=NO_WAITING).hold()
    assert tuple(report.failures) == ()
    return listening.said


def school_day(pupils_browser, teachers_browser):
    """Let a pupil ask, and the teacher do with each answer something else."""
    asked(pupils_browser, f"Чаро {NEVER_RATED} ман?", text=f"Зеро {NEVER_RATED}.")
    form = {"stars": "2", "correction": "Беҳтар.", "step": "send"}
    tapped = asked(pupils_browser, f"Чаро {TAPPED} ман?")
    teachers_browser.post(reverse("tap", args=[tapped.pk]), {"good": "0"})
    held = asked(pupils_browser, f"Чаро {HELD} ман?")
    teachers_browser.post(reverse("rate", args=[held.pk]), {**form, "step": "keep"})
    shown = asked(pupils_browser, "Чаро ранги осмон дигар аст?", text=f"Танҳо дар намоиш: {HELD}")
    teachers_browser.post(reverse("rate", args=[shown.pk]), {**form, "step": "preview"})
    withdrawn = asked(pupils_browser, f"Чаро {WITHDRAWN} ман?")
    teachers_browser.post(reverse("rate", args=[withdrawn.pk]), form)
    record_id = Rating.objects.get(answer=withdrawn).record_id
    teachers_browser.post(reverse("withdraw", args=[record_id]))
    sent = asked(pupils_browser, f"Ман {NAME} аз {MASKED}: {SENT} чист? {PIN_AND_NAME}ро мешиносед?")
    teachers_browser.post(reverse("rate", args=[sent.pk]), {**form, "masked_words": MASKED})


def test_on_the_link_there_are_only_the_words_that_a_teacher_saw_and_sent(
    school, centre, pupils_browser, teachers_browser
):
    school_day(pupils_browser, teachers_browser)
    said = contact(school) + contact(school)
    assert words_found(said, {SENT, "Беҳтар"}) == {SENT, "Беҳтар"}
    assert words_found(said, SECRET) == set()
    assert Turn.objects.count() == 6


def test_in_the_outbox_there_are_only_the_words_that_a_teacher_saw_and_sent(school, pupils_browser, teachers_browser):
    school_day(pupils_browser, teachers_browser)
    rows = [str(row).encode() for row in Parcel.objects.values()]
    assert words_found(rows, {SENT}) == {SENT}
    assert words_found(rows, SECRET) == set()


def test_in_logs_and_in_the_status_there_is_no_word_of_a_pupil_at_all(
    school, centre, pupils_browser, teachers_browser, pupil, caplog
):
    caplog.set_level(logging.DEBUG)
    # The database's own log, off on every school's PC, would show each statement.
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    school_day(pupils_browser, teachers_browser)
    contact(school)
    failures(pupils_browser, pupil)
    told = told_in(caplog)
    assert any(b"Forbidden" in line for line in told)
    assert words_found(told, SECRET | {SENT, pupil.pin}) == set()
    status = repr(status_read(root=school, now=timezone.now())).encode()
    assert words_found([status], SECRET | {SENT}) == set()
    assert words_found(files_beside_the_database(school), SECRET | {SENT}) == set()


def told_in(caplog):
    # With tracebacks, as the real handlers write them.
    return [logging.Formatter().format(record).encode() for record in caplog.records]


def failures(browser, pupil):
    """Let everything be refused that carries a pupil's words."""
    browser.post(reverse("ask"), {"question": NEVER_RATED * 1000})
    browser.post(reverse("queue"), {"question": NEVER_RATED})
    browser.get(reverse("status"), {"question": NEVER_RATED})
    browser.post("/nowhere/", {"question": NEVER_RATED})
    stranger = Client()
    stranger.post(reverse("sign-in"), {"username": NAME, "password": PIN_AND_NAME})
    stranger.post(reverse("class-code"), {"code": NAME})
    stranger.post(reverse("class-who"), {"pupil": pupil.pupil.pk, "pin": pupil.pin})
    Client(enforce_csrf_checks=True).post(reverse("ask"), {"question": NEVER_RATED})


def files_beside_the_database(root):
    return [path.read_bytes() for path in root.rglob("*") if path.is_file() and ".sqlite3" not in path.name]


def test_a_roll_that_is_refused_leaves_no_name_in_the_logs(school, caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    head = User.objects.get(username=account_create(username="sarvar", role=Role.HEAD).username)
    browser = Client()
    browser.force_login(head)
    content = f"насаб;ном;синф\n{PIN_AND_NAME};{NAME};\n".encode()
    shown = browser.post(reverse("roll"), {"roll": SimpleUploadedFile("roll.csv", content)})
    assert "Сатри 2" in shown.text
    assert words_found(told_in(caplog), SECRET) == set()


PASSAGE = (
    "Гулдурмоси нилуфар дар соҳили оромгоҳи қадима аз насими бомдод меларзад ва шабнами нуқрафом бар баргҳои "
    "зумуррадини он медурахшад."
)
OF_BOOK = {"Гулдурмоси нилуфар", "насими бомдод меларзад", "шабнами нуқрафом", "зумуррадини"}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a node's database is always SQLite")
def test_no_piece_of_a_textbook_leaves_the_school_with_a_rated_answer(
    school, centre, pupils_browser, teachers_browser, caplog
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)
    book_read(school, f"§ 1. Нилуфар\n\n{PASSAGE}\n".encode(), title="Розномаи ниҳонӣ")
    question = f"Нилуфар дар соҳил чаро меларзад, {SENT}?"
    answer = asked(pupils_browser, question, text=f"Дар китоб [1] омадааст: «{PASSAGE}» Ҳамин тавр.")
    assert answer.turn.citations.exists()
    form = {"stars": "4", "correction": f"Дуруст: {PASSAGE.upper()}", "step": "send"}
    assert teachers_browser.post(reverse("rate", args=[answer.pk]), form).status_code == 302
    said = contact(school)
    assert words_found(said, {SENT, "Ҳамин тавр", "[аз китоб]"}) == {SENT, "Ҳамин тавр", "[аз китоб]"}
    assert words_found(said, OF_BOOK | {"Розномаи"}) == set()
    assert words_found(told_in(caplog), OF_BOOK | {"Розномаи"}) == set()
    assert words_found(files_beside_the_database(school), OF_BOOK) == set()
