"""The centre's blobs: stored once under their own digest, served in any part."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from central.releases.blob_store import DiskStore, Window
from central.releases.blobs import Unsatisfiable, blob_response, window_read
from central.releases.storage import blob_path, blob_put
from federation.wire.canonical import sha256_hex

CONTENT = bytes(range(256)) * 1000


@dataclass
class Blob:
    """A blob on a disk, as the tests look at it."""

    store: DiskStore
    sha256: str
    path: Path


@pytest.fixture
def blob(tmp_path):
    (tmp_path / "source").write_bytes(CONTENT)
    stored = blob_put(root=tmp_path / "blobs", source=tmp_path / "source")
    path = blob_path(root=tmp_path / "blobs", sha256=stored.sha256)
    return Blob(DiskStore(tmp_path / "blobs"), stored.sha256, path)


def _ask(blob, method="GET", *, accel="", **headers):
    request = RequestFactory().generic(method, "/", headers=headers)
    return blob_response(request, blob.store, blob.sha256, accel=accel)


def _body(answer):
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_blob_lies_under_its_digest_and_is_written_once(blob, tmp_path):
    assert blob.sha256 == sha256_hex(CONTENT)
    written_at = blob.path.stat().st_mtime_ns
    assert blob_put(root=tmp_path / "blobs", source=tmp_path / "source").sha256 == blob.sha256
    assert blob.path.stat().st_mtime_ns == written_at
    assert [path.name for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == [blob.sha256]


def test_a_blob_that_a_cut_has_halved_is_written_again(blob, tmp_path):
    blob.path.write_bytes(CONTENT[:10])
    blob_put(root=tmp_path / "blobs", source=tmp_path / "source")
    assert blob.path.read_bytes() == CONTENT


def test_the_whole_blob_comes_with_its_etag_and_says_that_it_can_be_resumed(blob):
    answer = _ask(blob)
    assert (answer.status_code, _body(answer)) == (200, CONTENT)
    assert answer["ETag"] == f'"{blob.sha256}"'
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Length"] == str(len(CONTENT))


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=255999-", 255999, 256000),
        ("bytes=100-999999999", 100, 256000),
        ("bytes=-10", 255990, 256000),
        ("BYTES=5-6", 5, 7),
        ("bytes=-999999999", 0, 256000),
    ],
)
def test_one_range_is_answered_with_exactly_that_part(blob, asked, start, end):
    answer = _ask(blob, Range=asked)
    assert (answer.status_code, _body(answer)) == (206, CONTENT[start:end])
    assert answer["Content-Range"] == f"bytes {start}-{end - 1}/256000"
    assert answer["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=256000-", "bytes=999999-1000000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(blob, asked):
    answer = _ask(blob, Range=asked)
    assert (answer.status_code, answer["Content-Range"]) == (416, "bytes */256000")
    assert answer["ETag"] == f'"{blob.sha256}"'


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "bytes=5-4", "items=0-1", "bytes=-", "bytes=a-b", "bytes=٣-٤", ""])
def test_what_is_not_one_range_is_answered_with_the_whole(blob, asked):
    answer = _ask(blob, Range=asked)
    assert (answer.status_code, _body(answer)) == (200, CONTENT)


def test_a_resumption_of_another_blob_begins_anew(blob):
    answer = _ask(blob, Range="bytes=100-", **{"If-Range": f'"{blob.sha256}"'})
    assert (answer.status_code, _body(answer)) == (206, CONTENT[100:])
    for other in ('"other"', f'W/"{blob.sha256}"', "Tue, 24 Nov 2026 09:00:00 GMT"):
        answer = _ask(blob, Range="bytes=100-", **{"If-Range": other})
        assert (answer.status_code, _body(answer)) == (200, CONTENT)


def test_a_head_request_gets_the_length_and_no_body(blob):
    answer = _ask(blob, method="HEAD", Range="bytes=0-9")
    assert (answer.status_code, answer["Content-Length"], _body(answer)) == (200, "256000", b"")


def test_a_blob_that_the_asker_has_is_not_sent_again(blob):
    answer = _ask(blob, **{"If-None-Match": f'"x", "{blob.sha256}"'})
    assert (answer.status_code, _body(answer), answer["ETag"]) == (304, b"", f'"{blob.sha256}"')


def test_a_request_about_another_blob_is_refused_and_answered_with_nothing(blob):
    for condition, status in (('"other"', 412), (f'W/"{blob.sha256}"', 412), (f'"{blob.sha256}"', 206), ("*", 206)):
        answer = _ask(blob, Range="bytes=0-9", **{"If-Match": condition})
        assert (answer.status_code, len(_body(answer))) == (status, 0 if status == 412 else 10)
    weak = _ask(blob, **{"If-None-Match": f'W/"{blob.sha256}"'})
    assert weak.status_code == 304


def test_the_end_of_an_empty_blob_is_empty_and_its_beginning_is_behind_the_end(tmp_path):
    (tmp_path / "source").write_bytes(b"")
    stored = blob_put(root=tmp_path / "blobs", source=tmp_path / "source")
    empty = Blob(DiskStore(tmp_path / "blobs"), stored.sha256, tmp_path)
    for asked, status in (("bytes=-5", 200), ("bytes=0-", 416), ("bytes=-0", 416)):
        answer = _ask(empty, Range=asked)
        assert (answer.status_code, _body(answer)) == (status, b"")


def test_behind_nginx_the_centre_decides_and_nginx_sends(blob):
    answer = _ask(blob, accel="/_blobs/", Range="bytes=0-9")
    assert (answer.status_code, _body(answer)) == (200, b"")
    assert answer["X-Accel-Redirect"] == f"/_blobs/{blob.sha256[:2]}/{blob.sha256}"
    not_changed = _ask(blob, accel="/_blobs/", **{"If-None-Match": f'"{blob.sha256}"'})
    assert (not_changed.status_code, "X-Accel-Redirect" in not_changed) == (304, False)
    blob.path.unlink()
    with pytest.raises(Http404):
        _ask(blob, accel="/_blobs/")


def test_other_methods_and_missing_blobs_are_refused(blob):
    assert _ask(blob, method="POST").status_code == 405
    blob.path.unlink()
    with pytest.raises(Http404):
        _ask(blob)


def test_under_asgi_the_blob_comes_in_pieces_and_not_all_at_once(blob):
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"range", b"bytes=1-200000")]}
    answer = blob_response(ASGIRequest(scope, None), blob.store, blob.sha256)

    async def pieces():
        return [piece async for piece in answer.streaming_content]

    got = asyncio.run(pieces())
    assert (answer.status_code, b"".join(got)) == (206, CONTENT[1:200001])
    assert len(got) > 1


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_any_range_lies_within_the_blob(size_bytes, first, last):
    try:
        window = window_read(f"bytes={first}-{last}", size_bytes)
    except Unsatisfiable:
        assert first >= size_bytes
        return
    if window is None:
        assert last < first
    else:
        assert window == Window(first, min(last + 1, size_bytes))
