"""The pages of a school and of the centre, in a real browser, at a telephone's width and at a desk's."""

import pytest

from tests.browser.conftest import Visit

pytestmark = pytest.mark.slow
WIDTHS = (360, 1280)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/", "/sign-in/", "/status/"])
def test_a_schools_page_stays_on_the_machine_and_fits_the_screen(chromium, node, path, width):
    _commands, address = node
    visit = Visit(chromium, address, width=width)

    visit.open(path)

    assert visit.page.locator("html").get_attribute("lang") == "tg"
    assert visit.asked_elsewhere == []
    assert visit.complaints == []
    assert visit.overflow_pixels <= 0


def test_a_page_without_a_model_says_so(chromium, node):
    _commands, address = node

    page = Visit(chromium, address, width=360).open("/")

    assert page.locator(".empty").first.is_visible()


def test_a_teacher_signs_in_and_finds_the_queue_and_the_corrections(chromium, node):
    commands, address = node
    account = commands.run_json("browser", "account_create", "--username", "munira", "--role", "teacher")
    visit = Visit(chromium, address, width=1280)

    page = visit.open("/sign-in/")
    page.fill("#id_username", account["username"])
    page.fill("#id_password", account["password"])
    page.click("form.card button[type=submit]")
    page.wait_for_load_state("networkidle")

    for path in ("/ratings/", "/corrections/"):
        assert visit.open(path).locator("h1").is_visible()
    assert visit.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_heads_pages_fit_the_screen_and_are_in_the_schools_language(chromium, node, width):
    commands, address = node
    account = commands.run_json("browser", "account_create", "--username", f"sarvar-{width}", "--role", "head")
    visit = Visit(chromium, address, width=width)
    page = visit.open("/sign-in/")
    page.fill("#id_username", account["username"])
    page.fill("#id_password", account["password"])
    page.click("form.card button[type=submit]")
    page.wait_for_load_state("networkidle")

    headings = {
        "/link/": "Алоқа",
        "/learning/": "Омӯзиш",
        "/stick/": "Флешка",
        "/enrol/": "Пайваст кардани ин компютер",
    }
    for path, heading in headings.items():
        assert visit.open(path).locator("h1").inner_text() == heading
        assert visit.overflow_pixels <= 0, path
    assert page.locator(":text('Сканер надоред')").is_visible()
    assert (visit.asked_elsewhere, visit.complaints) == ([], [])


def test_the_admin_stays_on_the_machine_and_shows_each_station(chromium, centre):
    commands, address = centre
    account = commands.run_json("browser", "admin_create", "--username", "zarina")
    commands.run_json("browser", "school_invite", "--name", "Мактаби №1")
    visit = Visit(chromium, address, width=1280)

    page = visit.open("/admin/")
    page.fill("#id_username", account["username"])
    page.fill("#id_password", account["password"])
    page.click("button[type=submit]")
    page.wait_for_load_state("networkidle")

    for path in (
        "schools/school",
        "schools/node",
        "releases/release",
        "feedback/rating",
        "training/round",
        "rollouts/rollout",
    ):
        visit.open(f"/admin/{path}/")
        assert page.locator("#changelist").count() == 1, path
    assert page.locator("html").get_attribute("lang") == "tg"
    assert visit.asked_elsewhere == []
