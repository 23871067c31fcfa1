"""What a browser may run of the centre's answers, as the headers say it; tests/browser asks a real one."""

import pytest
from csp.constants import HEADER
from django.contrib.auth import get_user_model

from central.content_policy import NOTHING


def directives(answer):
    return {name: words for name, *words in (part.split() for part in answer.headers[HEADER].split(";"))}


@pytest.mark.django_db
def test_a_page_runs_this_servers_scripts_and_none_of_its_own(client):
    told = directives(client.get("/admin/login/"))

    assert told["default-src"] == ["'none'"]
    assert told["script-src"] == ["'self'", "'unsafe-eval'"]
    assert told["frame-ancestors"] == told["base-uri"] == ["'none'"]
    assert "script-src-elem" not in told
    assert "script-src-attr" not in told


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/time", "/api/v1/openapi.json", "/api/v1/check-ins", "/nowhere"])
def test_json_is_taken_for_nothing_else_and_its_head_is_short(client, path):
    answer = client.get(path)

    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert HEADER not in answer.headers


@pytest.mark.django_db
def test_a_list_that_is_downloaded_runs_nothing(client):
    client.force_login(get_user_model().objects.create_superuser("admin", password="x"))
    answer = client.get("/admin/schools/school/csv/")

    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers[HEADER] == NOTHING
