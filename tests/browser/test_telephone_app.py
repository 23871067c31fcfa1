"""The page as an app over HTTPS, in a real Chromium that trusts the PC's authority as a telephone does.

Chromium asks the store of its own HOME, into which NSS wrote the certificate that the page gives; it judges by its own
rules. The PC has a name that browsers do not call secure by themselves, so that only HTTPS can make it so.
"""

import contextlib
import http.server
import os
import shutil
import ssl
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error, expect

from node.https.certificates import server_issue
from node.https.names import PcNames
from node.https.services import authority_read
from node.https.validity import server_validity
from node.root import engine_socket_path
from tests.browser.conftest import ARGUMENTS, Visit
from tests.browser.nss_store import trust
from tests.node.engine_simulator import ANSWER, EngineSimulator, release_lay
from tests.node.https_door import HOST, NAME, page_run, sign_in
from tests.services import service_missing

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)
SHOTS = os.environ.get("SORO_SCREENSHOTS", "")
BANK = "bank.tj"


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A running page whose door for HTTPS is open, and the head's browser."""
    root = tmp_path_factory.mktemp("telephones")
    release_lay(root)
    with page_run(root) as page, page.browser(page.http) as head:
        sign_in(head, "mudir", page.password)
        page.switch(head, is_on=True)
        yield page, head


class Telephone:
    """A Chromium with a HOME of its own."""

    def __init__(self, playwright, home):
        program = shutil.which("chromium")
        if program is None:
            service_missing("Chromium", "it is not installed")
        names = f"--host-resolver-rules=MAP {NAME} {HOST}, MAP {BANK} {HOST}"
        try:
            self.context = playwright.chromium.launch_persistent_context(
                str(home / "profile"),
                executable_path=program,
                args=[*ARGUMENTS, names],
                env={**os.environ, "HOME": str(home)},
                viewport={"width": 360, "height": 740},
                locale="tg-TJ",
            )
        except Error as error:
            service_missing("Chromium", error)

    def visit(self, address):
        return Visit(_Tabs(self.context), address, width=360)


class _Tabs:
    """Stands where a browser makes contexts: a profile that keeps things has one."""

    def __init__(self, context):
        self._context = context

    def new_context(self, **_options):
        return self._context


@pytest.fixture(scope="module")
def telephone(playwright, school, tmp_path_factory):
    """A telephone that trusts the certificate which the page gave it."""
    _page, head = school
    home = tmp_path_factory.mktemp("trusting")
    given = home / "soro.crt"
    given.write_bytes(head.get("/telephones/soro.crt").content)
    trust(home, given)
    running = Telephone(playwright, home)
    yield running
    running.context.close()


def addresses(page):
    return f"http://{NAME}:{page.ports[0]}", f"https://{NAME}:{page.ports[1]}"


def fair_expect(visit, name):
    assert visit.overflow_pixels <= 0, name
    assert visit.asked_elsewhere == []
    assert visit.complaints == []
    found = Axe().run(visit.page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


def sign_in_here(visit, password):
    tab = visit.open("/sign-in/")
    # Whoever is signed in already is led on.
    if "/sign-in/" in tab.url:
        tab.fill("#id_username", "mudir")
        tab.fill("#id_password", password)
        with tab.expect_navigation(timeout=60_000):
            tab.keyboard.press("Enter")


def shot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_a_browser_that_was_told_nothing_does_not_believe_the_pc(playwright, school, tmp_path):
    page, _head = school
    stranger = Telephone(playwright, tmp_path)
    plain, safe = addresses(page)
    visit = stranger.visit(plain)
    assert visit.open("/").evaluate("[isSecureContext, 'serviceWorker' in navigator]") == [False, False]
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        visit.page.goto(safe)
    stranger.context.close()


def test_a_telephone_that_trusts_the_pc_installs_the_app_and_asks(telephone, school):
    page, _head = school
    _plain, safe = addresses(page)
    engine = EngineSimulator(engine_socket_path(page.root))
    engine.start()
    try:
        visit = telephone.visit(safe)
        tab = visit.open("/")
        assert tab.evaluate("[isSecureContext, Boolean(navigator.clipboard)]") == [True, True]
        assert tab.evaluate("navigator.serviceWorker.ready.then((it) => it.active.scriptURL)").endswith(
            "/service-worker.js"
        )
        asking = telephone.context.new_cdp_session(tab)
        assert asking.send("Page.getInstallabilityErrors") == {"installabilityErrors": []}
        assert asking.send("Page.getAppManifest")["errors"] == []
        tab.fill("#question", "Пойтахти Тоҷикистон кадом аст?")
        tab.keyboard.press("Enter")
        expect(tab.locator(".answer:not(.writing) .text")).to_have_text(ANSWER.strip())
        fair_expect(visit, "chat")
    finally:
        engine.stop()


def test_a_telephone_that_came_by_https_signs_in_at_the_plain_door_too(telephone, school):
    page, _head = school
    plain, safe = addresses(page)
    for address in (safe, plain):
        visit = telephone.visit(address)
        sign_in_here(visit, page.password)
        expect(visit.open("/status/").locator("[data-step]")).to_be_visible()


def test_the_heads_page_is_whole_at_360_pixels_in_every_language(telephone, school):
    page, _head = school
    _plain, safe = addresses(page)
    head_visit = telephone.visit(safe)
    sign_in_here(head_visit, page.password)
    for language in ("tg", "ru", "en"):
        head_visit.open("/telephones/")
        with head_visit.page.expect_navigation(timeout=60_000):
            head_visit.page.locator(f"button[name=language][value={language}]").click()
        expect(head_visit.page.locator("html")).to_have_attribute("lang", language)
        expect(head_visit.page.locator("[data-app]")).to_have_attribute("data-app", "open")
        fair_expect(head_visit, language)
        shot(head_visit.page, f"telephones-head-{language}-360")


def test_chromium_too_refuses_what_a_thief_signs_for_another_name(telephone, school, tmp_path):
    page, _head = school
    authority = authority_read(page.root)
    stolen = tmp_path / "stolen.pem"
    validity = server_validity(datetime.now(UTC), authority=authority.validity)
    for name, is_believed in ((NAME, True), (BANK, False)):
        names = PcNames(dns=(name,), addresses=(HOST,))
        stolen.write_bytes(server_issue(authority=authority, names=names, validity=validity))
        with _imitation(stolen) as port:
            tab = telephone.context.new_page()
            if is_believed:
                assert tab.goto(f"https://{name}:{port}/").text() == "imitated"
            else:
                with pytest.raises(Error, match="ERR_CERT"):
                    tab.goto(f"https://{name}:{port}/")
            tab.close()


@contextlib.contextmanager
def _imitation(certificate: Path):
    """Serve one word over HTTPS with `certificate`; yields the port."""

    class Word(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"imitated")

        def log_message(self, *_arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_arguments):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server((HOST, 0), Word) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_the_app_opens_with_its_shell_when_the_pc_is_off(telephone, school):
    page, _head = school
    _plain, safe = addresses(page)
    visit = telephone.visit(safe)
    visit.open("/")
    visit.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.process.stop()
    tab = telephone.context.new_page()
    tab.goto(f"{safe}/")
    expect(tab.locator("section[lang=tg] h1")).to_have_text("Компютери мактаб ҷавоб намедиҳад")
    assert tab.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") != "0px"
    assert not Axe().run(tab).response["violations"]
    shot(tab, "telephones-offline-360")
