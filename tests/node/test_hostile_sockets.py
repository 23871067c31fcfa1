"""What a bored or clever pupil may send to the running page, byte by byte, at the plain door and at that for HTTPS.

The same as in test_hostile_chat.py and more, through real sockets: what a test client never sends is sent here.
"""

import itertools
import json
import re
import select
import socket
import sqlite3
import ssl
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from node.body_limit import MAX_BODY_BYTES
from tests.node.engine_simulator import release_lay
from tests.node.https_door import HOST, page_run, post, sign_in

pytestmark = pytest.mark.slow
PART = {"HX-Request": "true"}
MEGABYTE = 1024 * 1024
ANNOUNCED = 500 * MEGABYTE
# What two systems' buffers hold of a body that nobody reads any more.
MOST_IN_BUFFERS = 16 * MEGABYTE
MOST_GROWTH_KB = 12 * 1024
TABLES = ("chat_conversation", "chat_turn", "chat_answer", "ratings_rating", "outbox_parcel", "textbooks_textbook")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    release_lay(root)
    # What the body of a request is written to before anybody reads it would lie here.
    with page_run(root, environment={"TMPDIR": str(tmp_path_factory.mktemp("uploads"))}) as running:
        with running.browser(running.http) as head:
            sign_in(head, "mudir", running.password)
            running.switch(head, is_on=True)
        yield running


@pytest.fixture(params=["http", "https"])
def door(page, request):
    return getattr(page, request.param)


@pytest.fixture(scope="module")
def talks(page):
    """A guest with a conversation at each door: the browser and the ids of conversation and answer."""
    made = {}
    for address in (page.http, page.https):
        browser = page.browser(address)
        post(browser, "/ask/", {"question": "Сири ман"}, headers=PART)
        asked = "SELECT conversation_id, answer.id FROM chat_turn turn JOIN chat_answer answer ON turn_id = turn.id"
        conversation, answer = rows(page, f"{asked} ORDER BY asked_at DESC LIMIT 1")[0]
        made[address] = browser, UUID(conversation), UUID(answer)
    yield made
    for browser, *_ in made.values():
        browser.close()


def rows(page, query):
    with closing(sqlite3.connect(page.root / "node.sqlite3")) as store:
        return store.execute(query).fetchall()


def kept(page):
    found = [rows(page, f"SELECT * FROM {table} ORDER BY 1") for table in TABLES]  # noqa: S608 - our own tables
    return json.dumps(found, default=str)


def resident_kb(page):
    status = Path(f"/proc/{page.process.child.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


class Wire:
    """A connection to one of the doors that sends what it likes and hears the answer whenever it comes."""

    def __init__(self, page, door):
        plain = socket.create_connection((HOST, page.ports[1 if door == page.https else 0]), timeout=60)
        self.socket = page.trusting().wrap_socket(plain, server_hostname=HOST) if door == page.https else plain
        self.socket.settimeout(0)
        self.sent_bytes, self.heard = 0, b""
        self.is_ended = False

    def say(self, pieces, *, seconds=60):
        """Send `pieces` until they are through, and go on hearing until the other side ends it; return what it said."""
        until, pieces, left = time.monotonic() + seconds, iter(pieces), b""
        while not self.is_ended and time.monotonic() < until:
            left = left or next(pieces, b"")
            select.select([self.socket], [self.socket] if left else [], [], 1)
            self._hear()
            if left and not self.is_ended:
                left = left[self._send(left) :]
        return self.heard

    def _hear(self):
        try:
            piece = self.socket.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except OSError:
            piece = b""
        self.heard += piece
        self.is_ended = not piece

    def _send(self, content):
        try:
            size = self.socket.send(content)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return 0
        except OSError:
            # It was cut off; what it was told before may still lie here.
            while not self.is_ended:
                self._hear()
            return 0
        self.sent_bytes += size
        return size

    def close(self):
        self.socket.close()


def test_a_prompt_of_a_megabyte_is_refused_in_words_and_kept_nowhere(page, door):
    before = kept(page)
    with page.browser(door) as browser:
        for size_bytes, status, words in (
            (MEGABYTE // 2, 422, "аз 1 то 4000 аломат"),
            (MEGABYTE, 400, "аз ҳад зиёд"),
            (3 * MEGABYTE, 413, "аз ҳад зиёд"),
        ):
            for path in ("/ask/", "/passing/answer/"):
                refused = post(browser, path, {"question": "a" * size_bytes}, headers=PART)
                assert (refused.status_code, words in refused.text) == (status, True), (size_bytes, path)
                assert len(refused.content) < 2000
    assert kept(page) == before


@pytest.mark.parametrize("key", ["none", "../../etc/passwd", "' OR 1=1 --", "x" * 6000, "guest", ""])
def test_a_forged_cookie_names_nobody(page, door, talks, key):
    _owner, conversation, _answer = talks[door]
    before = kept(page)
    for name in ("sessionid", "__Host-sessionid"):
        for path, status in ((f"/c/{conversation}/", b"404"), ("/status/", b"302"), ("/history/", b"200")):
            wire = Wire(page, door)
            heard = wire.say([request_of(door, "GET", path, f"Cookie: {name}={key}", "Connection: close")])
            wire.close()
            assert heard.split(b" ")[1] == status, (name, path)
            assert "Сири ман".encode() not in heard
    assert kept(page) == before


def test_another_ones_conversation_is_refused_by_address_at_either_door(page, door, talks):
    before = kept(page)
    for _owner, conversation, answer in talks.values():
        with page.browser(door) as stranger:
            stranger.get("/sign-in/")
            for path in (f"/c/{conversation}/", f"/answers/{answer}/stream/"):
                refused = stranger.get(path)
                assert (refused.status_code, "Сири ман" in refused.text) == (404, False)
            for path in (
                f"/c/{conversation}/rename/",
                f"/c/{conversation}/delete/",
                f"/answers/{answer}/stop/",
                f"/answers/{answer}/again/",
            ):
                assert post(stranger, path, {"title": "х"}, headers=PART).status_code == 404
            asked = {"question": "х", "conversation": str(conversation)}
            assert post(stranger, "/ask/", asked, headers=PART).status_code == 404
    # It is still its owner's.
    owner, conversation, _answer = talks[door]
    assert "Сири ман" in owner.get(f"/c/{conversation}/").text
    assert kept(page) == before


def test_neither_guest_nor_pupil_rates_as_a_teacher(page, door, talks):
    name = f"pupil-{door.partition(':')[0]}"
    pupil = page.commands.run_json("pupil", "account_create", "--username", name, "--role", "pupil")
    _owner, _conversation, answer = talks[door]
    before = kept(page)
    opinion = {"stars": "1", "step": "send", "role": "teacher", "good": "0"}
    with page.browser(door) as browser:
        for path in (f"/ratings/{answer}/", f"/ratings/{answer}/tap/"):
            refused = post(browser, path, opinion, follow_redirects=False)
            assert (refused.status_code, "/sign-in/" in refused.headers["location"]) == (302, True)
        sign_in(browser, name, pupil["password"])
        for path in (f"/ratings/{answer}/", f"/ratings/{answer}/tap/", "/textbooks/add/", "/accounts/guests/"):
            assert post(browser, path, opinion).status_code == 403
    assert kept(page) == before


def request_of(door, method, path, *headers):
    """Return the bytes of a request without its body."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {door.partition('//')[2]}", *headers, "", ""]).encode()


def chunks():
    """Yield half a gigabyte as chunks of a body without an announced end."""
    body = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(ANNOUNCED // 65536):
        yield body
    yield b"0\r\n\r\n"


def announced():
    """Yield half a gigabyte that was announced."""
    body = b"x" * 65536
    for _ in range(ANNOUNCED // 65536):
        yield body


@pytest.mark.parametrize("path", ["/ask/", "/textbooks/add/", "/sign-in/"])
@pytest.mark.parametrize("is_announced", [True, False])
def test_half_a_gigabyte_is_cut_off_early_and_leaves_memory_and_disk_as_they_were(page, door, path, is_announced):
    before, resident = kept(page), resident_kb(page)
    length = f"Content-Length: {ANNOUNCED}" if is_announced else "Transfer-Encoding: chunked"
    kind = "Content-Type: multipart/form-data; boundary=x"
    head = request_of(door, "POST", path, kind, length)
    # A file, so that whoever reads it would write it to the disk.
    head_of_file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    first = head_of_file if is_announced else b"%x\r\n%s\r\n" % (len(head_of_file), head_of_file)
    wire = Wire(page, door)
    heard = wire.say(itertools.chain([head, first], announced() if is_announced else chunks()))
    wire.close()
    assert heard.startswith(b"HTTP/1.1 413 "), heard[:200]
    assert "аз ҳад зиёд".encode() in heard
    assert wire.sent_bytes < MAX_BODY_BYTES + MOST_IN_BUFFERS
    assert resident_kb(page) - resident < MOST_GROWTH_KB
    assert kept(page) == before
    with page.browser(door) as browser:
        assert browser.get("/offline/").status_code == 200


def test_a_body_that_never_comes_keeps_nobody_waiting(page, door):
    wires = [Wire(page, door) for _ in range(40)]
    try:
        for wire in wires:
            wire.socket.settimeout(30)
            wire.socket.sendall(request_of(door, "POST", "/ask/", "Content-Length: 10") + b"x")
        with page.browser(door) as browser:
            assert browser.get("/").status_code == 200
    finally:
        for wire in wires:
            wire.close()


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"POST /ask/ HTTP/1.1\r\nHost: 127.0.0.2\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.2\r\nConnection: close\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
    ],
)
def test_what_is_no_request_of_a_browser_is_refused_and_breaks_nothing(page, door, said):
    wire = Wire(page, door)
    heard = wire.say([said], seconds=20)
    wire.close()
    assert heard.startswith(b"HTTP/1.1 400 "), heard[:200]
    with httpx.Client(base_url=door, verify=page.trusting(), timeout=30) as browser:
        assert browser.get("/offline/").status_code == 200
