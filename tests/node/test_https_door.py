"""The door for HTTPS beside the plain one, in a real page process: who opens it, and what goes through which."""

import contextlib
import re
import socket
import ssl
import time

import httpx
import pytest

from federation.demo.commands import wait_until
from node.chat.services import MAX_WAITING_OF_DEVICE
from node.https.certificates import server_issue
from node.https.services import authority_read
from node.https.validity import Validity
from node.root import engine_socket_path
from tests.node.engine_simulator import WORDS, EngineSimulator, release_lay
from tests.node.https_door import HOST, page_run, post, sign_in, trusting

pytestmark = pytest.mark.slow
PART = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("door")
    release_lay(root)
    with page_run(root) as running:
        yield running


@pytest.fixture(scope="module")
def head(page):
    with page.browser(page.http) as browser:
        yield sign_in(browser, "mudir", page.password)


@pytest.fixture
def opened(page, head):
    page.switch(head, is_on=True)
    yield page
    page.switch(head, is_on=False)


@pytest.fixture
def engine(page):
    simulator = EngineSimulator(engine_socket_path(page.root))
    simulator.start()
    yield simulator
    simulator.stop()


def certificate_served(page):
    """Return the certificate that a telephone meets now, in DER."""
    with (
        socket.create_connection((HOST, page.ports[1]), timeout=30) as plain,
        page.trusting().wrap_socket(plain, server_hostname=HOST) as safe,
    ):
        return safe.getpeercert(binary_form=True)


def test_nobody_but_the_head_opens_the_door_and_until_then_there_is_none(page, head):
    teacher = page.commands.run_json("teacher", "account_create", "--username", "rahim", "--role", "teacher")
    with page.browser(page.http) as guest, page.browser(page.http) as colleague:
        sign_in(colleague, "rahim", teacher["password"])
        for browser in (guest, colleague):
            for path in ("/telephones/", "/telephones/soro.crt"):
                assert browser.get(path).status_code == 404
            assert "/telephones/" not in browser.get("/").text
        for path in ("/telephones/switch/", "/telephones/forget/"):
            assert post(colleague, path, {"on": "1"}).status_code == 403
            assert "/sign-in/" in str(post(guest, path, {"on": "1"}).url)
    assert not page.is_port_open()
    assert not (page.root / "https").exists()
    assert "Хомӯш аст" in head.get("/telephones/").text


def test_the_head_opens_shuts_and_forgets_and_a_telephone_believes_it_meanwhile(page, head):
    page.switch(head, is_on=True)
    authority = authority_read(page.root)
    with page.browser(page.http) as guest:
        shown = guest.get("/telephones/").text
        given = guest.get("/telephones/soro.crt")
    assert authority.fingerprint in shown
    assert f"{page.https}/" in shown
    assert given.headers["content-type"] == "application/x-x509-ca-cert"
    assert ssl.DER_cert_to_PEM_cert(given.content).encode() in (page.root / "https" / "authority.pem").read_bytes()
    with page.browser(page.https) as telephone:
        assert telephone.get("/").status_code == 200
    # Who was not told to trust it does not, whatever else the system trusts.
    with httpx.Client() as stranger, pytest.raises(httpx.ConnectError, match="unable to get local issuer"):
        stranger.get(f"{page.https}/")
    refused = post(head, "/telephones/forget/", {})
    assert "Аввал барномаро хомӯш кунед" in refused.text
    assert authority_read(page.root).fingerprint == authority.fingerprint

    page.switch(head, is_on=False)
    assert not page.is_port_open()
    assert "Сертификатро фаромӯш кардан" in head.get("/telephones/").text
    post(head, "/telephones/forget/", {})
    assert not (page.root / "https").exists()
    log = page.process.log.read_text()
    for words in ("switched on by mudir", "switched off by mudir", "forgotten by mudir"):
        assert words in log


def test_cookies_of_one_door_are_nothing_at_the_other(opened, head):
    with opened.browser(opened.https) as telephone:
        sign_in(telephone, "mudir", opened.password)
        assert telephone.get("/status/").url.path == "/status/"
        safe = {cookie.name: cookie for cookie in telephone.cookies.jar}
        assert set(safe) == {"__Host-sessionid", "__Host-csrftoken"}
        assert all(cookie.secure and cookie.path == "/" and not cookie.domain_specified for cookie in safe.values())
        plain = {cookie.name: cookie for cookie in head.cookies.jar}
        assert set(plain) == {"sessionid", "csrftoken"}
        assert not any(cookie.secure for cookie in plain.values())
        for address, names in (
            (opened.http, {"sessionid": safe["__Host-sessionid"].value, "__Host-sessionid": plain["sessionid"].value}),
            (opened.https, {"sessionid": plain["sessionid"].value}),
        ):
            expected = address == opened.http
            with opened.browser(address) as forger:
                forger.cookies.update(names)
                # By plain HTTP a session is whatever its cookie says, as ever; by HTTPS a plain cookie says nothing.
                assert (forger.get("/status/").url.path == "/status/") is expected


def test_no_door_tells_a_browser_to_come_by_https_alone(opened):
    for address in (opened.http, opened.https):
        with opened.browser(address) as browser:
            for path in ("/", "/offline/", "/static/node/soro.css", "/nowhere/"):
                assert "strict-transport-security" not in browser.get(path).headers
    with opened.browser(opened.http) as browser:
        answer = browser.get("/")
        assert (answer.status_code, answer.url.scheme, answer.history) == (200, "http", [])


def test_a_form_from_the_other_door_or_from_nowhere_is_refused(opened):
    with opened.browser(opened.https) as telephone:
        telephone.get("/sign-in/")
        for headers in (
            {"Origin": opened.http, "Referer": f"{opened.http}/"},
            {"Origin": "null", "Referer": f"{opened.https}/"},
        ):
            assert post(telephone, "/ask/", {"question": "Савол"}, headers=headers).status_code == 403
        token = telephone.cookies["__Host-csrftoken"]
        assert telephone.post("/ask/", data={"question": "С", "csrfmiddlewaretoken": token}).status_code == 403
        assert post(telephone, "/ask/", {"question": "Савол"}).status_code == 200


def test_words_come_through_both_doors_as_they_are_written(opened, engine):
    for address in (opened.http, opened.https):
        engine.may_go_on.clear()
        with opened.browser(address) as browser:
            turn = post(browser, "/ask/", {"question": "Салом"}, headers=PART).text
            stream = re.search(r'data-stream="(/answers/[0-9a-f-]{36}/stream/)"', turn)[1]
            heard = ""
            with browser.stream("GET", stream) as answer:
                for piece in answer.iter_text():
                    heard += piece
                    if WORDS[0].strip() in heard and not engine.may_go_on.is_set():
                        # The engine stands still until somebody has read the first word.
                        assert WORDS[1].strip() not in heard
                        engine.may_go_on.set()
            assert "event: done" in heard


def test_guests_of_one_device_share_their_waiting_places_at_both_doors(opened):
    def guest(address, device):
        transport = httpx.HTTPTransport(verify=opened.trusting(), local_address=device)
        return httpx.Client(base_url=address, transport=transport, timeout=30)

    def ask(address, device, said=""):
        with guest(address, device) as browser:
            headers = PART | ({"X-Forwarded-For": said} if said else {})
            return post(browser, "/ask/", {"question": "Савол"}, headers=headers).status_code

    doors = (opened.http, opened.https)
    assert [ask(doors[n % 2], "127.0.0.3") for n in range(MAX_WAITING_OF_DEVICE)] == [200] * MAX_WAITING_OF_DEVICE
    for address in doors:
        assert ask(address, "127.0.0.3") == 429
        assert ask(address, "127.0.0.3", said="10.0.0.9") == 429
        assert ask(address, "127.0.0.4") == 200


def test_a_renewed_certificate_serves_without_a_break_for_whoever_reads(opened, engine):
    before = certificate_served(opened)
    engine.may_go_on.clear()
    with opened.browser(opened.https) as reader:
        turn = post(reader, "/ask/", {"question": "Салом"}, headers=PART).text
        stream = re.search(r'data-stream="(/answers/[0-9a-f-]{36}/stream/)"', turn)[1]
        with reader.stream("GET", stream) as answer:
            pieces = answer.iter_text()
            next(pieces)
            _renew(opened)
            wait_until("renew", lambda: certificate_served(opened) != before, what="the door", process=opened.process)
            engine.may_go_on.set()
            assert "event: done" in "".join(pieces)


def _renew(page):
    authority = authority_read(page.root)
    old = authority.validity
    path = page.root / "https" / "server.pem"
    draft = path.with_suffix(".draft")
    ends = Validity(begins_at=old.begins_at, ends_at=old.begins_at.replace(year=old.begins_at.year + 1))
    draft.write_bytes(server_issue(authority=authority, names=authority.names, validity=ends))
    draft.replace(path)


def test_another_program_at_the_port_is_told_and_costs_the_plain_door_nothing(page, head):
    with contextlib.closing(socket.create_server((HOST, page.ports[1]))):
        post(head, "/telephones/switch/", {"on": "1"})
        wait_until(
            "look",
            lambda: "барномаи дигар гирифтааст" in head.get("/telephones/").text,
            what="the door",
            process=page.process,
        )
        assert 'data-app="waits"' in head.get("/telephones/").text
        assert head.get("/status/").status_code == 200
    page.switch(head, is_on=True)
    page.switch(head, is_on=False)


def test_whoever_talks_no_tls_to_the_door_disturbs_nobody(opened):
    for nonsense in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\x00" * 4096, b""):
        with socket.create_connection((HOST, opened.ports[1]), timeout=30) as rude:
            rude.sendall(nonsense)
            rude.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP/1.1 200" not in rude.recv(4096)
    old = trusting(authority_read(opened.root))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((HOST, opened.ports[1]), timeout=30) as plain,
        old.wrap_socket(plain, server_hostname=HOST) as safe,
    ):
        assert safe.version() == "TLSv1.2"
    with opened.browser(opened.https) as telephone:
        assert telephone.get("/offline/").status_code == 200


def test_the_page_ends_in_time_while_both_doors_are_read(tmp_path):
    release_lay(tmp_path)
    with page_run(tmp_path) as page, page.browser(page.http) as head:
        sign_in(head, "mudir", page.password)
        page.switch(head, is_on=True)
        with page.browser(page.https) as telephone:
            telephone.get("/")
            began = time.monotonic()
            page.process.stop()
            # The supervisor kills after ten seconds.
            assert time.monotonic() - began < 9
        assert not (tmp_path / "https-door.json").exists()
        assert (tmp_path / "https" / "authority.pem").exists()
