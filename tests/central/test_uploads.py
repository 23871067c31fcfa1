"""Updates by HTTPS: piece by piece, from where the link broke, into the one inbox."""

import itertools
import os
import time
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from central.schools.models import Node
from central.training.models import Season, Update
from central.training.uploads import Piece, piece_take_in, upload_show, uploads_expire
from federation.wire.canonical import sha256_hex
from federation.wire.rounds import Upload
from tests.central.school import plain
from tests.central.seasons import season_small, take_in, update_of


@pytest.fixture
def content(school):
    return update_of(school, season_small())


def put(school, content, start, end, *, sha256=None, size=None, header=None):
    headers = {
        "Authorization": f"Bearer {school.token}",
        "Content-Range": header or f"bytes {start}-{end - 1}/{size or len(content)}",
    }
    path = f"/api/v1/updates/{sha256 or sha256_hex(content)}"
    return school.client.put(path, content[start:end], content_type="application/octet-stream", headers=headers)


def shown(school, sha256):
    answer = school.client.get(f"/api/v1/updates/{sha256}", headers={"Authorization": f"Bearer {school.token}"})
    return plain(answer, Upload)


def parts(disk):
    return list(disk.uploads.rglob("*.part"))


def test_an_upload_goes_on_where_the_link_broke_and_ends_with_the_centres_word(school, content, disk):
    middle = len(content) // 2
    first = plain(put(school, content, 0, middle), Upload)
    assert (first.received_bytes, first.is_judged) == (middle, False)
    assert shown(school, sha256_hex(content)) == first
    assert not Update.objects.exists()
    last = plain(put(school, content, middle, len(content)), Upload)
    assert (last.is_judged, last.accepted, last.code, last.received_bytes) == (True, True, "", len(content))
    assert Update.objects.get().status == "accepted"
    assert parts(disk) == []
    assert shown(school, sha256_hex(content)) == last


def test_a_piece_behind_a_gap_is_refused_and_says_where_to_go_on(school, content, disk):
    put(school, content, 0, 100)
    answer = put(school, content, 200, 300)
    assert (answer.status_code, answer.json()["code"]) == (409, "upload_offset_wrong")
    assert answer.json()["fields"]["received_bytes"] == "100"
    assert parts(disk)[0].read_bytes() == content[:100]


def test_an_update_that_came_by_another_way_is_not_sent_again(school, content, disk):
    take_in(content, disk)
    assert shown(school, sha256_hex(content)).accepted
    assert plain(put(school, content, 0, 10), Upload).is_judged
    assert (Update.objects.count(), parts(disk)) == (1, [])


def test_a_refused_update_is_answered_with_its_code(school, other_school, content, disk):
    forged = update_of(school, Season.objects.get(), key=other_school.key)
    answer = plain(put(school, forged, 0, len(forged)), Upload)
    assert (answer.is_judged, answer.accepted, answer.code) == (True, False, "bad_signature")


def test_bytes_that_are_not_those_of_the_digest_are_forgotten(school, content, disk):
    answer = put(school, content, 0, len(content), sha256="0" * 64)
    assert (answer.status_code, answer.json()["code"]) == (400, "upload_damaged")
    assert (parts(disk), Update.objects.count()) == ([], 0)


def test_a_node_uploads_no_other_nodes_update(school, other_school, content, disk):
    answer = put(other_school, content, 0, len(content))
    assert (answer.status_code, answer.json()["code"]) == (403, "node_mismatch")
    assert (parts(disk), Update.objects.count()) == ([], 0)


@pytest.mark.parametrize(
    "header",
    ["", "bytes 0-9/5", "bytes 9-0/100", "bytes 0-8/100", "bytes */100", "bytes 0-9/99999999999", "items 0-9/100"],
)
def test_a_piece_that_does_not_say_where_it_lies_is_refused(school, content, disk, header):
    answer = put(school, content, 0, 10, header=header or "none")
    assert (answer.status_code, answer.json()["code"]) == (400, "upload_piece_invalid")
    assert parts(disk) == []


def test_a_piece_above_a_mebibyte_is_refused(school, disk):
    answer = put(school, b"x" * (2**20 + 1), 0, 2**20 + 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert parts(disk) == []


def test_a_new_upload_replaces_the_one_before_it(school, content, disk):
    put(school, content, 0, 100)
    other = content + b"!"
    put(school, other, 0, 50)
    assert [path.name for path in parts(disk)] == [f"{sha256_hex(other)}.part"]


def test_uploads_that_nobody_goes_on_with_are_forgotten(school, content, disk):
    put(school, content, 0, 100)
    (part,) = parts(disk)
    assert uploads_expire(disk=disk, now=timezone.now()) == 0
    old = time.time() - timedelta(days=15).total_seconds()
    os.utime(part, (old, old))
    assert uploads_expire(disk=disk, now=timezone.now()) == 1
    assert not part.exists()


@given(cuts=st.lists(st.integers(0, 2000), max_size=6), repeats=st.integers(1, 3))
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_pieces_cut_anywhere_and_sent_again_make_the_same_bytes(school, content, disk, cuts, repeats):
    Update.objects.all().delete()
    node, sha256 = Node.objects.get(), sha256_hex(content)
    edges = [*sorted({0, *(min(cut, len(content) - 1) for cut in cuts)}), len(content)]
    for start, end in itertools.pairwise(edges):
        piece = Piece(start=start, content=content[start:end], size_bytes=len(content))
        for _ in range(repeats):
            shown_now = piece_take_in(
                node=node, sha256=sha256, piece=piece, max_bytes=10**6, disk=disk, now=timezone.now()
            )
            assert shown_now.received_bytes == end
    assert Update.objects.get().digest == sha256
    assert upload_show(node=node, sha256=sha256, disk=disk).accepted
