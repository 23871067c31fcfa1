"""A school's people in a real browser: a head makes a class, a pupil comes in, a teacher sees theirs; axe looks on."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Visit

pytestmark = pytest.mark.slow
WIDTHS = (360, 1280)


def grave(page):
    """Return what axe-core finds serious or critical."""
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    return [
        (rule["id"], [node["html"][:120] for node in rule["nodes"]][:3])
        for rule in found.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


def looked_at(visit, where):
    assert visit.overflow_pixels <= 0, where
    assert (visit.asked_elsewhere, visit.complaints) == ([], []), where
    assert grave(visit.page) == [], where


def signed_in(chromium, node, username, role, width):
    commands, address = node
    account = commands.run_json("browser", "account_create", "--username", username, "--role", role)
    visit = Visit(chromium, address, width=width)
    page = visit.open("/sign-in/")
    looked_at(visit, "sign-in")
    page.fill("#id_username", account["username"])
    page.fill("#id_password", account["password"])
    page.click("form.card button[type=submit]")
    page.wait_for_load_state("networkidle")
    return visit


@pytest.mark.parametrize("width", WIDTHS)
def test_a_head_makes_a_class_and_a_pupil_who_comes_in_by_code_picture_and_pin(chromium, node, width):
    _commands, address = node
    head = signed_in(chromium, node, f"mudir-{width}", "head", width)
    page = head.open("/accounts/")
    looked_at(head, "accounts")
    page.fill("#id_class", f"{width // 200}А")
    page.press("#id_class", "Enter")
    page.wait_for_load_state("networkidle")
    page.fill("#id_first", "Ҷамила")
    page.fill("#id_last", "Каримова")
    page.press("#id_first", "Enter")
    page.wait_for_selector("[role=status] input")
    looked_at(head, "class")
    pin = page.input_value("[role=status] input")
    code = page.locator("code.code").inner_text()

    pupil = Visit(chromium, address, width=width)
    page = pupil.open("/class/")
    looked_at(pupil, "code")
    page.fill("#id_code", code)
    page.press("#id_code", "Enter")
    page.wait_for_selector(".tiles")
    looked_at(pupil, "tiles")
    page.focus(".tiles input")
    page.keyboard.press("Space")
    page.fill("#id_pin", pin)
    page.press("#id_pin", "Enter")
    page.wait_for_selector(".person .name")
    assert page.locator(".person .name").inner_text() == "Ҷамила Каримова"
    assert page.locator("nav a").count() == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_a_teachers_pages_fit_the_screen_and_axe_finds_nothing_grave(chromium, node, width):
    teacher = signed_in(chromium, node, f"omuzgor-{width}", "teacher", width)
    for path in ("/ratings/", "/ratings/outgoing/", "/corrections/", "/classes/", "/compare/"):
        assert teacher.open(path).locator("h1").is_visible()
        looked_at(teacher, path)
