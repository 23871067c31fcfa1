"""A page process with a door for HTTPS, and a browser's way of switching it on."""

import re
import socket
import ssl
from contextlib import contextmanager

import httpx
from cryptography.hazmat.primitives.serialization import Encoding

from federation.demo.commands import CommandLine, wait_until
from node.https.services import authority_read
from tests.stations import does_answer, free_port

NAME = "soro.maktab.tj"
HOST = "127.0.0.2"
"""Browsers call all of 127.0.0.0/8 secure, and the name for it not; so what is secure is asked of the name."""


class Page:
    """A running page of a head, at both doors."""

    def __init__(self, commands, process, ports, password):
        self.commands, self.process, self.ports, self.password = commands, process, ports, password
        self.root = commands.root
        self.http, self.https = f"http://{HOST}:{ports[0]}", f"https://{HOST}:{ports[1]}"

    def trusting(self):
        """Return a context as of a telephone that trusts this PC's authority, and nobody else."""
        return trusting(authority_read(self.root))

    def browser(self, address):
        """Return a browser of its own for one of the doors."""
        verify = self.trusting() if address.startswith("https") else True
        return httpx.Client(base_url=address, verify=verify, timeout=30, follow_redirects=True)

    def switch(self, browser, *, is_on):
        """Press the head's switch in `browser`, and wait until the door is as it says."""
        pressed = post(browser, "/telephones/switch/", {"on": "1" if is_on else "0"})
        assert pressed.status_code == 200, pressed.text
        wanted = f'data-app="{"open" if is_on else "off"}"'

        def is_done():
            return wanted in browser.get("/telephones/").text and self.is_port_open() is is_on

        wait_until("switch", is_done, what="the door", process=self.process, interval_seconds=0.2)

    def is_port_open(self):
        """Return whether anybody listens at the port for HTTPS."""
        try:
            socket.create_connection((HOST, self.ports[1]), timeout=5).close()
        except ConnectionRefusedError:
            return False
        return True


def trusting(authority):
    """Return a context that trusts `authority` alone; the clock and OpenSSL's usual rules judge."""
    return ssl.create_default_context(cadata=authority.root.public_bytes(Encoding.PEM).decode())


def post(browser, path, fields, **options):
    """Send a form as a page of ours would, with its origin and its token."""
    token = next((value for name, value in browser.cookies.items() if name.endswith("csrftoken")), "")
    if not token:
        shown = browser.get("/sign-in/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown)[1]
    address = str(browser.base_url).rstrip("/")
    headers = {"Origin": address, "Referer": f"{address}/"} | options.pop("headers", {})
    return browser.post(path, data=fields | {"csrfmiddlewaretoken": token}, headers=headers, **options)


def sign_in(browser, username, password):
    """Be that person in `browser` from here on."""
    came = post(browser, "/sign-in/", {"username": username, "password": password})
    assert came.status_code == 200
    return browser


@contextmanager
def page_run(root, *, environment=None):
    """Yield a running page that other devices reach, without an engine."""
    ports = free_port(), free_port()
    hosts = f"{NAME},{HOST},127.0.0.1"
    commands = CommandLine(project="node", root=root, environment={"SORO_NODE_HOSTS": hosts} | (environment or {}))
    password = commands.run_json("head", "account_create", "--username", "mudir", "--role", "head")["password"]
    process = commands.start("page", "--host", HOST, "--port", str(ports[0]), "--https-port", str(ports[1]))
    page = Page(commands, process, ports, password)
    try:
        wait_until("start", lambda: does_answer(f"{page.http}/offline/"), what="its page", process=process)
        yield page
    finally:
        process.stop()
