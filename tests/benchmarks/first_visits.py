"""How long pages of a node take to their first paint, and how many bytes a visit moves, in a real Chromium.

Each visit is a new profile's. The old telephone is Chromium's own brake: a processor six times slower than this
machine's, behind a Wi-Fi of 5 Mbit/s with 20 ms.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, BrowserContext, CDPSession, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SLOWER = 6
_WIFI_BYTES_A_SECOND = 5_000_000 / 8
_WIFI_MILLISECONDS = 20
_PAINT = (
    "new Promise(told => new PerformanceObserver(list => list.getEntriesByName('first-contentful-paint')"
    ".forEach(entry => told(entry.startTime))).observe({type: 'paint', buffered: true}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A page to look at, and the cookies of whoever looks."""

    name: str
    path: str
    cookies: tuple[tuple[str, str], ...] = ()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def paint_seconds(browser: Browser, address: str, place: Place, *, is_slow: bool) -> float:
    """Return the seconds from the navigation to the first contentful paint of a first visit."""
    with _profile(browser, address, place) as context:
        page = context.new_page()
        client = context.new_cdp_session(page)
        if is_slow:
            _slow(client)
        page.goto(address + place.path, wait_until="load")
        return float(page.evaluate(_PAINT)) / 1000


def visit_bytes(browser: Browser, address: str, place: Place) -> tuple[int, int]:
    """Return the encoded bytes of every answer, headers included, on a profile's first and on its second visit."""
    with _profile(browser, address, place) as context:
        return _moved(context, address + place.path), _moved(context, address + place.path)


def _moved(context: BrowserContext, url: str) -> int:
    # A tab of its own: a session that listens to one does not follow where it goes.
    page = context.new_page()
    client = context.new_cdp_session(page)
    moved: list[int] = []
    client.on("Network.loadingFinished", lambda told: moved.append(int(told["encodedDataLength"])))
    client.send("Network.enable")
    page.goto(url, wait_until="networkidle")
    return sum(moved)


@contextmanager
def _profile(browser: Browser, address: str, place: Place) -> Iterator[BrowserContext]:
    # An old telephone's screen; nothing is kept from any visit before.
    context = browser.new_context(viewport={"width": 360, "height": 640}, locale="tg-TJ")
    context.add_cookies([{"name": name, "value": value, "url": address} for name, value in place.cookies])
    try:
        yield context
    finally:
        context.close()


def _slow(client: CDPSession) -> None:
    client.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    client.send("Network.enable")
    wifi = {"offline": False, "latency": _WIFI_MILLISECONDS}
    for way in ("downloadThroughput", "uploadThroughput"):
        wifi[way] = _WIFI_BYTES_A_SECOND
    client.send("Network.emulateNetworkConditions", wifi)
