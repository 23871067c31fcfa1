"""The page «Textbooks»: whose it is, what it shows, and that what is too big is refused before it is anywhere."""

import contextlib
import os
import re
import socket
import time
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from federation.demo.commands import CommandLine, wait_until
from node.textbooks.launch import readings_run
from node.textbooks.models import Textbook
from node.textbooks.shelf import MOST_FILE_BYTES
from tests.node.conftest import NOW
from tests.node.textbook_files import book_add, book_read, lessons_read
from tests.stations import page_run

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="a node's database is always SQLite"),
]
FOTO = f"§ 1. Фотосинтез\n\n{lessons_read()[0][3][0][1]}\n".encode()
FORM = {"title": "Биология 6", "subject": "biology", "grade": "6"}
MEGABYTE = 1024**2


@pytest.fixture(autouse=True)
def launched(monkeypatch):
    """Start no processes; count how often one would be."""
    times = []
    monkeypatch.setattr("node.textbooks.views.reading_launch", lambda *, root: times.append(root))
    return times


def browser_of(role):
    client = Client()
    if role != "guest":
        user = User.objects.create_user(f"one-{role}", password="a-password")
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        client.force_login(user)
    return client


@pytest.fixture
def desk(client, root, teacher):
    client.force_login(teacher)
    return client


def file_of(content=FOTO, name="book.txt"):
    return SimpleUploadedFile(name, content)


def doors(book):
    number = [book.pk]
    return [
        ("get", reverse("textbooks")),
        ("get", reverse("textbooks-progress")),
        ("get", reverse("textbook", args=number)),
        ("post", reverse("textbook-add")),
        ("post", reverse("textbook-change", args=number)),
        ("post", reverse("textbook-stop", args=number)),
        ("post", reverse("textbook-read", args=number)),
        ("post", reverse("textbook-delete", args=number)),
    ]


@pytest.mark.parametrize(("role", "status"), [("guest", 302), ("pupil", 403)])
def test_guests_and_pupils_come_through_no_door_but_to_a_passage(root, role, status, launched):
    book = book_read(root, FOTO)
    browser = browser_of(role)
    assert [getattr(browser, way)(address, FORM).status_code for way, address in doors(book)] == [status] * 8
    assert (Textbook.objects.get().status, launched) == ("ready", [])
    assert browser.get(reverse("passage", args=[book.passages.get().pk])).status_code == 200
    assert "textbooks/" not in browser.get("/").text


@pytest.mark.parametrize("role", ["teacher", "head"])
def test_teachers_and_the_head_add_try_change_and_take_away(root, role, launched):
    browser = browser_of(role)
    assert 'href="/textbooks/"' in browser.get("/").text
    assert "Ҳанӯз китоби дарсӣ нест" in browser.get("/textbooks/").text
    assert browser.post("/textbooks/add/", FORM | {"file": file_of()}).status_code == 302
    assert launched == [root]
    assert 'hx-trigger="every 2s"' in browser.get("/textbooks/").text
    readings_run(root=root, clock=lambda: NOW)
    page = browser.get("/textbooks/", {"q": "Растанӣ қандро чӣ тавр месозад?"}).text
    assert "порчаҳо: 1" in page
    assert "ҷавоб аз рӯи он навишта мешавад" in page
    assert "hx-trigger" not in page
    book = Textbook.objects.get()
    browser.post(reverse("textbook-change", args=[book.pk]), FORM | {"title": "Ботаника", "file": ""})
    assert "Ботаника" in browser.get("/textbooks/").text
    browser.post(reverse("textbook-delete", args=[book.pk]))
    assert not Textbook.objects.exists()


def test_the_same_file_again_is_told(desk, root, launched):
    book_read(root, FOTO)
    page = desk.post("/textbooks/add/", FORM | {"file": file_of()}, follow=True).text
    assert "аллакай бо номи «Биология 6»" in page
    assert launched == []


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (FORM | {"title": ""}, "1 то 120"),
        (FORM | {"grade": "99"}, "1 то 11"),
        (FORM | {"grade": "x"}, "1 то 11"),
        (FORM | {"subject": "x"}, "Чунин фан нест"),
        (FORM | {"file": ""}, "Файлро интихоб кунед"),
    ],
)
def test_a_form_that_is_wrong_is_told_and_keeps_what_was_written(desk, form, words):
    answer = desk.post("/textbooks/add/", {"file": file_of()} | form)
    assert (answer.status_code, words in answer.text) == (422, True)
    assert f'value="{form["title"]}"' in answer.text
    assert not Textbook.objects.exists()


def test_a_file_that_is_no_book_is_told_at_once(desk, root):
    answer = desk.post("/textbooks/add/", FORM | {"file": file_of(bytes(1000), "book.doc")})
    assert (answer.status_code, "DOCX" in answer.text) == (422, True)
    assert not list((root / "textbooks").glob("*"))


def test_a_reading_is_stopped_and_taken_up_by_two_buttons(desk, root, launched):
    book = book_add(root, FOTO)
    desk.post(reverse("textbook-stop", args=[book.pk]))
    assert "Хондан қатъ карда шуд" in desk.get("/textbooks/").text
    desk.post(reverse("textbook-read", args=[book.pk]))
    assert (Textbook.objects.get().status, launched) == ("waiting", [root])


def test_the_page_is_drawn_anew_when_the_last_book_is_read(desk, root):
    book_add(root, FOTO)
    assert "hx-get" in desk.get("/textbooks/progress/", headers={"HX-Request": "true"}).text
    readings_run(root=root, clock=lambda: NOW)
    assert desk.get("/textbooks/progress/", headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


@pytest.mark.parametrize(("language", "words"), [("tg", "хонда намешавад"), ("ru", "повреждён"), ("en", "damaged")])
def test_why_a_book_cannot_be_read_is_told_in_the_readers_language(desk, root, language, words):
    book_read(root, b"%PDF-1.7\n" + b"garbage" * 100)
    desk.cookies["django_language"] = language
    page = desk.get("/textbooks/").text
    assert words in page
    assert "textbook_damaged" in page


def test_nothing_that_a_book_holds_becomes_markup(desk, root):
    evil = "<script>alert(1)</script> Калима"
    book = book_read(root, f"§ 1. {evil}\n\n{evil} дар матн ҳаст ва боз матни дигар аст.".encode(), title=evil)
    for address in (
        "/textbooks/?q=калима",
        reverse("textbook", args=[book.pk]),
        f"/passages/{book.passages.get().pk}/",
    ):
        page = desk.get(address).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real page process with a directory of its own for what is on its way: address, root, that, and two cookies."""
    root, scratch = tmp_path_factory.mktemp("uploads"), tmp_path_factory.mktemp("scratch")
    commands = CommandLine(project="node", root=root, environment={"TMPDIR": str(scratch)})
    commands.run("tables", "migrate", "--verbosity", "0")
    with page_run(commands) as (page, address):
        accounts = {
            role: commands.run_json("account", "account_create", "--username", f"one-{role}", "--role", role)
            for role in ("teacher", "pupil")
        }
        clients = {role: signed_in(address, account) for role, account in accounts.items()}
        clients["guest"] = httpx.Client(base_url=address)
        with contextlib.ExitStack() as closing:
            for client in clients.values():
                closing.callback(client.close)
            yield page, root, scratch, clients


def signed_in(address, account):
    client = httpx.Client(base_url=address, timeout=60, follow_redirects=True)
    form = {"username": account["username"], "password": account["password"], "csrfmiddlewaretoken": token_of(client)}
    assert client.post("/sign-in/", data=form).is_success
    return client


def token_of(client, path="/sign-in/"):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(path).text)[1]


def kept_bytes(*folders):
    return sum(path.stat().st_size for folder in folders for path in Path(folder).rglob("*") if path.is_file())


def refused_early(client, declared_bytes, sent_bytes):
    """Return the status, the words and how many bytes were taken of a request that claims to be so long."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = (
        f"POST /textbooks/add/ HTTP/1.1\r\nHost: {client.base_url.host}\r\nCookie: {cookies}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {declared_bytes}\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=30) as connection:
        connection.sendall(head.encode() + b"x" * sent_bytes)
        answer = b""
        while b"\r\n\r\n" not in answer or b"64" not in answer.partition(b"\r\n\r\n")[2]:
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    return answer.decode()


@pytest.mark.slow
def test_five_hundred_megabytes_are_refused_before_they_come_and_leave_nothing(server):
    _page, root, scratch, clients = server
    before = kept_bytes(root / "textbooks", scratch)
    began = time.monotonic()
    answer = refused_early(clients["teacher"], 500 * MEGABYTE, 4096)
    assert time.monotonic() - began < 10
    assert answer.startswith("HTTP/1.1 413")
    assert "китоби дарсӣ то 64 МБ" in answer
    assert "a textbook may have 64 MB" in answer
    assert kept_bytes(root / "textbooks", scratch) == before == 0


@pytest.mark.slow
@pytest.mark.parametrize("who", ["pupil", "guest"])
def test_of_others_not_even_three_megabytes_are_taken(server, who):
    _page, root, scratch, clients = server
    answer = refused_early(clients[who], 3 * MEGABYTE, 0)
    assert answer.startswith("HTTP/1.1 413")
    assert "аз ҳад зиёд" in answer
    assert kept_bytes(root / "textbooks", scratch) == 0


@pytest.mark.slow
def test_a_body_that_does_not_say_its_length_is_cut_off_at_the_limit(server):
    _page, root, scratch, clients = server
    sent = 0

    def endless():
        nonlocal sent
        while sent < 3 * MOST_FILE_BYTES:
            sent += MEGABYTE
            yield b"x" * MEGABYTE

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = clients["teacher"].post("/textbooks/add/", content=endless(), headers=headers)
    assert (answer.status_code, "64 МБ" in answer.text) == (413, True)
    assert kept_bytes(root / "textbooks", scratch) == 0


@pytest.mark.slow
def test_a_broken_book_and_a_good_one_are_read_by_a_real_process_and_the_page_answers_meanwhile(server):
    process, root, scratch, clients = server
    teacher = clients["teacher"]
    for content, title in ((b"%PDF-1.7\n" + os.urandom(5 * MEGABYTE), "Вайрон"), (FOTO, "Дуруст")):
        form = {"title": title, "csrfmiddlewaretoken": token_of(teacher, "/textbooks/")}
        assert teacher.post("/textbooks/add/", data=form, files={"file": ("book", content)}).is_success
        assert teacher.get("/").is_success
    wait_until("read", lambda: "hx-trigger" not in teacher.get("/textbooks/").text, what="the books", process=process)
    page = teacher.get("/textbooks/").text
    assert "textbook_damaged" in page
    assert "порчаҳо: 1" in page
    assert kept_bytes(root / "textbooks", scratch) == 0
