"""What goes to telephones compressed, and what must not."""

import gzip

import pytest
from django.http import StreamingHttpResponse
from django.test import RequestFactory

from node.compression import CompressionMiddleware

TAKES = {"accept-encoding": "gzip, deflate"}
pytestmark = pytest.mark.django_db


def get(client, path, headers=TAKES):
    """Return the answer, read to its end, and its bytes."""
    answer = client.get(path, headers=headers)
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    return answer, content


def test_pages_and_styles_are_compressed_for_whoever_takes_it(client, root):
    for path, words in (("/sign-in/", "Тоҷикӣ"), ("/static/node/soro.css", "body"), ("/app.webmanifest", "standalone")):
        plain, _ = get(client, path, headers={})
        packed, content = get(client, path)
        assert (plain.get("content-encoding"), packed["content-encoding"]) == (None, "gzip")
        assert words in gzip.decompress(content).decode()
        assert "Accept-Encoding" in packed["vary"]


@pytest.mark.parametrize(
    ("path", "headers"), [("/static/node/soro-192.png", {}), ("/static/node/soro.css", {"range": "bytes=0-99"})]
)
def test_pictures_and_parts_of_files_go_as_they_lie(client, root, path, headers):
    assert get(client, path, headers=TAKES | headers)[0].get("content-encoding") is None


def test_no_word_of_an_answer_waits_to_be_packed():
    events = StreamingHttpResponse(iter([b"event: piece\ndata: a\n\n"] * 100), content_type="text/event-stream")
    request = RequestFactory().get("/", headers=TAKES)
    told = CompressionMiddleware(lambda _request: events)(request)
    assert told.get("content-encoding") is None
    assert next(iter(told.streaming_content)) == b"event: piece\ndata: a\n\n"
