"""The dashboard and the reviewer's queue in a real browser: by keyboard alone, judged by axe-core, on small screens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe

from federation.demo.commands import CommandLine, LongRunning, wait_until
from tests.browser.conftest import Visit
from tests.stations import EMBEDDED, free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SHOTS = os.environ.get("SORO_SCREENSHOTS", "")
"""A folder for the screenshots of docs/images; empty: none are kept."""
DIGEST = re.compile(r"[0-9a-f]{64}")
FILL = """
from django.utils import timezone
from central.feedback.agreement_count import agreement_count
from central.feedback.trends import weeks_count
from tests.benchmarks.country_rows import country_make
country_make(schools=400, ratings=3000, seed=7, now=timezone.now())
weeks_count(now=timezone.now())
agreement_count(now=timezone.now())
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The commands of a centre with a country in its tables."""
    root = tmp_path_factory.mktemp("central")
    commands = CommandLine(project="central", root=root, environment=EMBEDDED)
    commands.run("start", "migrate")
    commands.run("start", "shell", "--no-imports", "-c", FILL)
    return commands


@pytest.fixture(scope="module")
def address(commands):
    """The address of the centre's pages alone: neither worker nor SuperLink, which would begin the country's round."""
    port = free_port()
    environment = {
        **os.environ,
        **EMBEDDED,
        "SORO_CENTRAL_ROOT": str(commands.root),
        # Nobody has copied anything there: an alarm, which every page has to have room for.
        "SORO_CENTRAL_BACKUP": str(commands.root / "copies"),
        # pytest names its own settings in the environment.
        "DJANGO_SETTINGS_MODULE": "central.settings",
    }
    arguments = [sys.executable, "-m", "uvicorn", "central.asgi:application", "--port", str(port), "--no-access-log"]
    child = subprocess.Popen(arguments, cwd=ROOT, env=environment, start_new_session=True)
    pages = LongRunning(name="pages", child=child, log=commands.log)
    try:
        wait_until("start", lambda: answers(f"http://127.0.0.1:{port}/healthz"), what="its page", process=pages)
        yield f"http://127.0.0.1:{port}"
    finally:
        pages.stop()


def answers(url):
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def account(commands):
    return commands.run_json("browser", "admin_create", "--username", "munira")


@pytest.fixture
def visit(chromium, address, account):
    """Sign in by keyboard and return how to open a page at a width."""

    def at(width):
        visit = Visit(chromium, address, width=width)
        page = visit.open("/admin/")
        page.focus("#id_username")
        page.keyboard.type(account["username"])
        page.keyboard.press("Tab")
        page.keyboard.type(account["password"])
        page.keyboard.press("Enter")
        page.wait_for_selector(".dash")
        return visit

    return at


def grave(page):
    """Return what axe-core finds serious or critical in the page's own content."""
    found = Axe().run(page, context="main, .dash, .review", options={"resultTypes": ["violations"]})
    return [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def test_a_digest_and_an_alarm_fit_a_telephone(visit):
    visited = visit(360)
    page = visited.open("/admin/training/update/")
    visited.open(page.locator("#result_list a[href*='/change/']").first.get_attribute("href").partition("?")[0])
    assert page.locator(".readonly", has_text=DIGEST).count()
    assert visited.overflow_pixels == 0


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_dashboard_fits_the_screen_and_axe_finds_nothing_grave(visit, width, theme):
    seen = visit(width)
    page = seen.page
    page.emulate_media(color_scheme=theme)
    page.evaluate("theme => localStorage.setItem('_x_adminTheme', JSON.stringify(theme))", theme)
    page.reload(wait_until="networkidle")

    assert page.locator("html").get_attribute("lang") == "tg"
    assert page.evaluate("document.documentElement.classList.contains('dark')") == (theme == "dark")
    assert page.locator(".dash-tile").count() == 5
    assert page.locator(".dash-waves li").count() == 3
    assert seen.overflow_pixels <= 0
    assert (seen.asked_elsewhere, complaints(seen)) == ([], [])
    assert grave(page) == []
    shoot(page, f"central-dashboard-{width}-{theme}")


def test_a_number_of_the_dashboard_is_reached_and_followed_by_keyboard(visit):
    page = visit(1280).page
    page.focus(".dash-bars .dash-number >> nth=0")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

    page.keyboard.press("Enter")
    page.wait_for_selector("#changelist")
    assert "contact=day" in page.url


@pytest.mark.parametrize("width", [360, 1280])
def test_a_reviewer_judges_by_keyboard_alone(visit, width):
    seen = visit(width)
    page = seen.open("/admin/feedback/rating/review/")
    shown = lambda: page.locator("#review-question").inner_text()  # noqa: E731

    assert page.evaluate("document.activeElement.id") == "review"
    assert grave(page) == []
    assert seen.overflow_pixels <= 0
    shoot(page, f"central-review-{width}")

    first = shown()
    page.keyboard.press("e")
    page.keyboard.press("End")
    page.keyboard.type(" art")
    page.keyboard.press("Escape")
    press_and_wait(page, "a")
    second = shown()
    assert second != first
    press_and_wait(page, "s")
    third = shown()
    assert third not in (first, second)
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.name") == "question"
    assert grave(page) == []
    page.keyboard.press("Control+a")
    page.keyboard.type("[ном]")
    page.focus("button[value=mask]")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert shown() not in (first, second, third)
    assert (seen.asked_elsewhere, complaints(seen)) == ([], [])


def complaints(seen):
    """Return what the browser complained of, but for the little picture in its tab, which the admin has none of."""
    return [told for told in seen.complaints if "404" not in told]


def press_and_wait(page, key):
    with page.expect_navigation():
        page.keyboard.press(key)
