"""Books are added, read, replaced and taken away: nothing doubled, nothing left behind, nothing lost by a cut."""

import json
import os
import subprocess

import pytest
from django.db import connection

from federation.errors import FederationError
from node.children import child_environment, command_argv
from node.textbooks import shelf
from node.textbooks.errors import TextbookKindUnknown, TextbookRefused, TextbookThereAlready, TextbookTooBig
from node.textbooks.launch import is_reading, readings_run
from node.textbooks.models import Passage, Textbook
from node.textbooks.services import (
    MOST_TRIES,
    About,
    Upload,
    readings_wait,
    shelf_clear,
    textbook_add,
    textbook_change,
    textbook_delete,
    textbook_read_next,
    textbook_read_on,
    textbook_stop,
)
from tests.node.conftest import NOW
from tests.node.textbook_files import book_add, book_read, lessons_read, pdf_make, upload_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="a node's database is always SQLite"),
]
FOTO, ROOTS = (f"§ 1. {heading}\n\n{text}\n".encode() for heading, text in lessons_read()[0][3][:2])
BROKEN = b"%PDF-1.7\n" + b"garbage" * 1000


def files(root):
    return sorted(path.name for path in (root / "textbooks").glob("*"))


def test_a_book_is_read_and_its_file_goes(root):
    book = book_add(root, FOTO)
    assert (book.status, files(root)) == ("waiting", [book.sha256])
    assert textbook_read_next(root=root, now=NOW)
    book.refresh_from_db()
    assert (book.status, book.read_at, files(root)) == ("ready", NOW, [])
    assert [each.heading for each in book.passages.all()] == ["§ 1. Фотосинтез"]
    assert not textbook_read_next(root=root, now=NOW)


def test_the_same_bytes_are_one_book(root):
    first = book_read(root, FOTO)
    again = textbook_add(about=About(title="Дигар"), upload=upload_of(FOTO), root=root, now=NOW)
    assert (again.textbook, again.is_new) == (first, False)
    assert (Textbook.objects.count(), Passage.objects.count(), files(root)) == (1, 1, [])


def test_the_same_bytes_while_they_wait_are_one_book_and_the_file_stays(root):
    first = book_add(root, FOTO)
    assert book_add(root, FOTO) == first
    assert files(root) == [first.sha256]
    assert textbook_read_next(root=root, now=NOW)
    assert Passage.objects.count() == 1


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (About(title="  "), "title"),
        (About(title="к" * 121), "title"),
        (About(title="Китоб", subject="magic"), "subject"),
        (About(title="Китоб", grade=12), "grade"),
        (About(title="Китоб", grade=-1), "grade"),
    ],
)
def test_a_form_that_is_filled_in_wrongly_leaves_nothing(root, about, reason):
    with pytest.raises(TextbookRefused) as caught:
        textbook_add(about=about, upload=upload_of(FOTO), root=root, now=NOW)
    assert caught.value.fields == {"reason": reason}
    assert (Textbook.objects.count(), files(root)) == (0, [])


def test_a_file_that_is_no_book_or_too_big_leaves_nothing(root, monkeypatch):
    monkeypatch.setattr(shelf, "MOST_FILE_BYTES", 1000)
    for content, error in ((b"\x00\x01", TextbookKindUnknown), (b"a" * 1001, TextbookTooBig)):
        with pytest.raises(error):
            textbook_add(about=About(title="К"), upload=upload_of(content), root=root, now=NOW)
    liar = Upload(content=iter([b"a" * 600, b"a" * 600]), size_bytes=10)
    with pytest.raises(TextbookTooBig):
        textbook_add(about=About(title="К"), upload=liar, root=root, now=NOW)
    assert (Textbook.objects.count(), files(root)) == (0, [])


def test_a_broken_file_fails_in_its_row_and_goes(root):
    book = book_read(root, BROKEN)
    assert (book.status, book.error_code, files(root)) == ("failed", "textbook_damaged", [])
    # The same bytes are tried again if somebody insists.
    assert textbook_add(about=About(title="К"), upload=upload_of(BROKEN), root=root, now=NOW).is_new


def test_another_file_replaces_the_passages_at_once_and_only_when_it_is_read(root):
    book = book_read(root, FOTO)
    about = About(title="Нав", subject="biology", grade=7)
    assert textbook_change(textbook=book, about=about, upload=upload_of(ROOTS), root=root)
    assert [each.heading for each in book.passages.all()] == ["§ 1. Фотосинтез"]
    textbook_read_next(root=root, now=NOW)
    book.refresh_from_db()
    assert [each.heading for each in book.passages.all()] == ["§ 1. Реша"]
    assert (book.title, book.grade, book.status, files(root)) == ("Нав", 7, "ready", [])


def test_a_broken_file_in_the_place_of_a_good_one_leaves_the_old_passages(root):
    book = book_read(root, FOTO)
    textbook_change(textbook=book, about=About(title="Нав"), upload=upload_of(BROKEN), root=root)
    textbook_read_next(root=root, now=NOW)
    book.refresh_from_db()
    assert (book.status, book.passages.count()) == ("failed", 1)


def test_the_file_of_another_book_replaces_none(root):
    first, second = book_read(root, FOTO), book_read(root, ROOTS, title="Дигар")
    with pytest.raises(TextbookThereAlready):
        textbook_change(textbook=second, about=About(title="Нав"), upload=upload_of(FOTO), root=root)
    second.refresh_from_db()
    assert (second.title, second.sha256 != first.sha256, files(root)) == ("Дигар", True, [])


def test_the_same_file_in_the_place_of_itself_changes_only_what_is_said(root):
    book = book_read(root, FOTO)
    kept = list(book.passages.values_list("pk", flat=True))
    assert not textbook_change(textbook=book, about=About(title="Нав"), upload=upload_of(FOTO), root=root)
    assert not textbook_change(textbook=book, about=About(title="Нав 2"), upload=None, root=root)
    book.refresh_from_db()
    assert (book.title, book.status) == ("Нав 2", "ready")
    assert list(book.passages.values_list("pk", flat=True)) == kept


def test_a_book_is_taken_away_whole_at_any_time(root):
    waiting, ready = book_add(root, FOTO), book_read(root, ROOTS)
    for book in (waiting, ready):
        textbook_delete(textbook=book, root=root)
    assert (Textbook.objects.count(), Passage.objects.count(), files(root)) == (0, 0, [])


def test_a_reading_is_stopped_and_goes_on(root):
    book = book_add(root, FOTO)
    textbook_stop(textbook=book)
    assert not textbook_read_next(root=root, now=NOW)
    assert not readings_wait()
    textbook_read_on(textbook=book)
    assert textbook_read_next(root=root, now=NOW)
    book.refresh_from_db()
    assert book.status == "ready"


def test_what_a_power_cut_left_half_read_is_read_from_its_beginning(root):
    book = book_add(root, FOTO)
    Textbook.objects.update(status="reading", tries=1, pages_read=7)
    (root / "textbooks" / "half.part").write_bytes(b"x")
    (root / "textbooks" / ("0" * 64)).write_bytes(b"x")
    shelf_clear(root=root)
    assert files(root) == [book.sha256]
    assert readings_wait()
    readings_run(root=root, clock=lambda: NOW)
    book.refresh_from_db()
    assert (book.status, book.passages.count(), files(root)) == ("ready", 1, [])


def test_a_file_that_ends_its_reading_every_time_is_given_up(root):
    book = book_add(root, FOTO)
    Textbook.objects.update(status="reading", tries=MOST_TRIES)
    readings_run(root=root, clock=lambda: NOW)
    book.refresh_from_db()
    assert (book.status, book.error_code, files(root)) == ("failed", "textbook_reading_cut", [])


def test_a_file_that_is_gone_from_the_shelf_fails_and_holds_nobody_up(root):
    lost, other = book_add(root, FOTO), book_add(root, ROOTS)
    (root / "textbooks" / lost.sha256).unlink()
    readings_run(root=root, clock=lambda: NOW)
    assert {book.pk: book.status for book in Textbook.objects.all()} == {lost.pk: "failed", other.pk: "ready"}
    assert not is_reading(root)


def test_no_log_names_a_book(root, caplog):
    book_read(root, BROKEN, title="Зумрадқаноти")
    assert "textbook_damaged" in caplog.text
    assert "Зумрад" not in caplog.text


def command(root, *words):
    ended = subprocess.run(
        command_argv("textbook", *words), env=child_environment(root), capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.slow
def test_the_command_adds_lists_replaces_and_deletes(tmp_path):
    root = tmp_path / "node"
    (tmp_path / "book.pdf").write_bytes(pdf_make(FOTO.decode().splitlines()))
    (tmp_path / "book.txt").write_bytes(ROOTS)
    status, said, _ = command(
        root, "add", str(tmp_path / "book.pdf"), "--title", "Биология", "--subject", "biology", "--grade", "6", "--json"
    )
    (book,) = json.loads(said)["textbooks"]
    assert (status, book["status"], book["passages"], book["pages"]) == (0, "ready", 1, 1)
    number = str(book["number"])
    assert command(root, "replace", str(tmp_path / "book.txt"), "--book", number)[0] == 0
    assert "Биология" in command(root, "list")[1]
    for words in (("add", str(tmp_path / "none.pdf"), "--title", "К"), ("delete", "--book", "99")):
        status, _, problem = command(root, *words)
        assert (status, bool(problem)) == (1, True)
    assert command(root, "delete", "--book", number)[0] == 0
    assert json.loads(command(root, "list", "--json")[1]) == {"textbooks": []}
    assert not os.listdir(root / "textbooks")  # noqa: PTH208 - all of it


def test_every_error_of_a_reading_has_a_sentence():
    from node.sentences import sentence_of  # noqa: PLC0415
    from node.textbooks import errors  # noqa: PLC0415

    codes = [
        each.code for each in vars(errors).values() if isinstance(each, type) and issubclass(each, FederationError)
        and each.__module__ == errors.__name__
    ]  # fmt: skip
    assert len(codes) == 12
    assert all(sentence_of(code, {"reason": "title"}) != code for code in codes)
