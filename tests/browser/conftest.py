"""A real Chromium, and the real processes whose pages it looks at."""

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import Error, sync_playwright

from federation.demo.commands import CommandLine
from node.root import engine_socket_path
from tests.node.engine_simulator import EngineSimulator, release_lay
from tests.services import service_missing
from tests.stations import centre_run, node_run, page_run

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="package")
def playwright():
    """Steer browsers; a process can do that once at a time."""
    with sync_playwright() as running, pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread, which makes Django refuse the tests' own reads and writes.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield running


@pytest.fixture(scope="package")
def chromium(playwright):
    program = shutil.which("chromium")
    if program is None:
        service_missing("Chromium", "it is not installed")
    try:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
    except Error as error:
        service_missing("Chromium", error)
    yield browser
    browser.close()


@pytest.fixture(autouse=True)
def pages_closed(request):
    """Close what a test has opened: a page that asks every few seconds would go on, with nobody there to answer."""
    if "chromium" not in request.fixturenames:
        yield
        return
    browser = request.getfixturevalue("chromium")
    before = list(browser.contexts)
    yield
    for context in browser.contexts:
        if context not in before:
            context.close()


@contextmanager
def steered_page(root):
    """Yield an engine that the test steers, the address of the page that it answers on, and the page's commands."""
    release_lay(root)
    commands = CommandLine(project="node", root=root, environment={})
    commands.run("tables", "migrate", "--verbosity", "0")
    engine = EngineSimulator(engine_socket_path(root))
    engine.start()
    try:
        with page_run(commands) as (_page, address):
            yield engine, address, commands
    finally:
        engine.stop()


class Visit:
    """One tab; remembers what it asked for and what it complained of."""

    def __init__(self, browser, address, *, width):
        self.address = address
        self.page = browser.new_context(viewport={"width": width, "height": 900}, locale="tg-TJ").new_page()
        self.asked, self.complaints = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path):
        self.page.goto(self.address + path, wait_until="networkidle")
        return self.page

    @property
    def asked_elsewhere(self):
        return [url for url in self.asked if not url.startswith((self.address, "data:"))]

    @property
    def overflow_pixels(self):
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A running node of no school yet: its commands and its address."""
    with node_run(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    """A running embedded centre: its commands and its address."""
    with centre_run(tmp_path_factory.mktemp("central")) as running:
        yield running
