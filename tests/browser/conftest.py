"""A real Chromium, and the real processes whose pages it looks at."""

import shutil
import socket
from contextlib import ExitStack

import httpx
import pytest
from playwright.sync_api import Error, sync_playwright

from federation.demo.commands import CommandLine, wait_until
from tests.services import service_missing

START_SECONDS = 90
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="session")
def chromium():
    program = shutil.which("chromium")
    if program is None:
        service_missing("Chromium", "it is not installed")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        except Error as error:
            service_missing("Chromium", error)
        yield browser
        browser.close()


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


def _station(project, root, *arguments, healthy):
    ending = ExitStack()
    commands = CommandLine(project=project, root=root, environment={"SORO_NODE_TRAINS_AT_NIGHT": "0"})
    running = commands.start("run", *arguments)
    ending.callback(running.stop)
    try:
        wait_until("start", healthy, timeout_seconds=START_SECONDS, what="its page", process=running)
    except BaseException:
        ending.close()
        raise
    return commands, ending


def _answers(url):
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A running node of no school yet: its commands and its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    root = tmp_path_factory.mktemp("node")
    commands, ending = _station("node", root, "--port", str(port), healthy=lambda: _answers(f"{address}/"))
    with ending:
        yield commands, address


@pytest.fixture(scope="module")
def centre(tmp_path_factory):
    """A running embedded centre: its commands and its address."""
    port, fleet_port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    root = tmp_path_factory.mktemp("central")
    ports = ("--port", str(port), "--fleet-port", str(fleet_port))
    commands, ending = _station("central", root, *ports, healthy=lambda: _answers(f"{address}/healthz"))
    with ending:
        yield commands, address
