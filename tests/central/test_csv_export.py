"""Lists as CSV files: the page's rows and columns, nothing that a spreadsheet would run, and never all in memory."""

import csv
import io

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from central.csv_stream import FORMULA_STARTS, ROWS_A_PIECE, cell_safe, csv_pieces
from central.schools.models import AuditEvent, School


@pytest.fixture
def staff(client, db):
    client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))
    return client


def schools(*names, region="Суғд"):
    School.objects.bulk_create(School(name=name, region=region, created_at=timezone.now()) for name in names)


def rows(answer):
    content = b"".join(answer.streaming_content).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content)))


def test_the_file_has_the_pages_columns_and_rows_in_the_pages_language(staff):
    schools("Мактаби «А», №1", "Мактаби Б")
    answer = staff.get("/admin/schools/school/csv/", headers={"Accept-Language": "ru"})
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    head, first, second = rows(answer)
    assert head[:2] == ["имя", "регион"]
    assert (first[0], second[0], first[4]) == ("Мактаби «А», №1", "Мактаби Б", "Да")


def test_the_file_is_filtered_searched_and_ordered_as_the_page_is(staff):
    schools("а", "б", "в")
    schools("г", region="Хатлон")
    page = staff.get("/admin/schools/school/?region=Суғд&o=-1&q=")
    link = next(link["path"] for link in page.context["actions_list"] if "/csv/" in link["path"])
    assert [row[0] for row in rows(staff.get(link))[1:]] == ["в", "б", "а"]
    assert [row[0] for row in rows(staff.get("/admin/schools/school/csv/?q=г"))[1:]] == ["г"]


def test_a_name_that_is_a_formula_stays_text(staff):
    schools("=HYPERLINK(1)")
    assert rows(staff.get("/admin/schools/school/csv/"))[1][0] == "'=HYPERLINK(1)"


def test_whoever_takes_a_file_is_in_the_audit(staff):
    staff.get("/admin/schools/school/csv/?region=x")
    assert staff.post("/admin/schools/school/csv/").status_code == 405
    row = AuditEvent.objects.get(new="downloaded")
    assert (row.actor, row.entity, row.reason) == ("Гулнора", "schools.school list", "region=x")


def test_a_long_list_takes_no_more_queries_and_comes_in_pieces(staff, django_assert_max_num_queries):
    schools(*[f"Мактаби {n:04}" for n in range(2 * ROWS_A_PIECE + 1)])
    with django_assert_max_num_queries(8):
        answer = staff.get("/admin/schools/school/csv/")
        pieces = list(answer.streaming_content)
    assert len(pieces) == 3
    assert b"".join(pieces).count(b"\r\n") == 2 * ROWS_A_PIECE + 2


def test_an_asynchronous_server_gets_the_same_file(async_client, db):
    schools("а", "б")
    async_client.force_login(get_user_model().objects.create_superuser("Гулнора", password="x"))

    async def fetch():
        answer = await async_client.get("/admin/schools/school/csv/")
        return b"".join([piece async for piece in answer.streaming_content]).decode("utf-8-sig")

    content = async_to_sync(fetch)()
    assert [row[0] for row in csv.reader(io.StringIO(content))][1:] == ["а", "б"]


@given(st.text(max_size=8))
def test_no_text_begins_as_a_formula_does(text):
    safe = cell_safe(text)
    assert not safe.lstrip().startswith(FORMULA_STARTS)
    assert safe in (text, f"'{text}")


def test_numbers_stay_numbers():
    assert b"".join(csv_pieces(["n"], [[-1], [2.5], [None]])).decode() == '\ufeffn\r\n-1\r\n2.5\r\n""\r\n'
