"""The centre's log for machines: one object a line that names request and node, and never what a person wrote."""

import io
import json
import logging

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection
from django.urls import path
from django.views import View

from central.log_lines import JsonLines
from central.request_trace import trace_now
from tests.central.school import rating_parcel
from tests.central.test_review import say

WORDS = "шаршара-ба-кӯҳ"
"""What a person writes: looked for in every line."""


@pytest.fixture
def lines(settings):
    """The lines that are written during the test, read as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root, requests = logging.getLogger(), logging.getLogger("central.metrics.requests")
    levels = root.level, requests.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    requests.setLevel(logging.INFO)

    def read():
        assert WORDS not in stream.getvalue()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield read
    root.removeHandler(handler)
    root.setLevel(levels[0])
    requests.setLevel(levels[1])


def requests_of(lines):
    return [line for line in lines() if line["logger"] == "central.metrics.requests"]


def test_a_request_is_one_line_with_its_route_its_id_and_the_node_that_asked(school, lines):
    school.receipt(rating_parcel(1))
    line = requests_of(lines)[-1]

    assert (line["method"], line["route"], line["status"]) == ("POST", "api/v1/parcels", 200)
    assert line["node_id"] == school.node_id
    assert len(line["request_id"]) == 32
    assert line["duration_ms"] >= 0
    assert trace_now() is None


@pytest.mark.parametrize(
    ("given", "is_kept"), [("nginx-0123456789abcdef", True), ('x" evil', False), ("a" * 65, False)]
)
def test_the_web_servers_id_is_kept_where_it_is_one(client, lines, given, is_kept):
    client.get("/healthz", headers={"X-Request-ID": given})

    assert (requests_of(lines)[-1]["request_id"] == given) == is_kept


def test_nothing_that_a_person_writes_is_in_a_line(client, school, lines):
    get_user_model().objects.create_superuser("Гулнора", password="x")
    say(school, 1, question=WORDS, answer=WORDS, correction=WORDS)
    client.get(f"/{WORDS}?q={WORDS}", headers={"User-Agent": WORDS.encode().hex()})
    client.post("/admin/login/", {"username": WORDS, "password": WORDS})
    client.force_login(get_user_model().objects.get())
    client.get("/admin/feedback/rating/", {"q": WORDS})
    school.client.post("/api/v1/parcels", WORDS.encode(), content_type="application/json")

    routes = {line["route"] for line in requests_of(lines)}
    assert {"api/v1/parcels", "unmatched", "admin/login/", "admin/feedback/rating/"} <= routes


class Refusing(View):
    """Ends as a database does that repeats the row that it refused."""

    def get(self, _request):
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT * FROM nowhere WHERE words = %s", [WORDS])
        except DatabaseError as error:
            raise RuntimeError(WORDS) from error


urlpatterns = [path("refusing", Refusing.as_view())]


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_an_error_tells_kind_and_place_and_not_its_words(client, lines):
    client.raise_request_exception = False
    assert client.get("/refusing").status_code == 500
    line = next(line for line in lines() if line["logger"] == "django.request")

    assert [error["kind"] for error in line["errors"]][:2] == [
        "builtins.RuntimeError",
        "django.db.utils.OperationalError",
    ]
    assert any("test_log_lines.py" in frame for frame in line["errors"][0]["frames"])
    assert line["request_id"] == requests_of(lines)[-1]["request_id"]
