"""The head's pages in a real browser: status, link, learning, password and backups, by keyboard and judged by axe."""

import os

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from federation.demo.commands import CommandLine
from tests.browser.conftest import Visit
from tests.stations import page_run

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)
SHOTS = os.environ.get("SORO_SCREENSHOTS", "")
WIDTHS = (360, 1280)
OWN = "парол барои мактаб"
PHRASE = "ибораи махфии мо"


@pytest.fixture(scope="module")
def school(tmp_path_factory):
    """A page with a head, a teacher, a folder that stands for a stick, and no other process."""
    root, stick = tmp_path_factory.mktemp("head"), tmp_path_factory.mktemp("sticks") / "KINGSTON"
    stick.mkdir()
    commands = CommandLine(project="node", root=root, environment={"SORO_NODE_STICKS": str(stick)})
    head = commands.run_json("head", "account_create", "--username", "mudir", "--role", "head")
    teacher = commands.run_json("teacher", "account_create", "--username", "rahim", "--role", "teacher")
    with page_run(commands) as (_page, address):
        yield {"address": address, "head": head["password"], "teacher": teacher["password"], "stick": stick}


def shot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def fair_expect(visit, name):
    """Assert what every page must be: nothing wider than the screen, nothing from elsewhere, nothing axe minds."""
    assert visit.overflow_pixels <= 0, name
    assert visit.asked_elsewhere == []
    assert visit.complaints == []
    found = Axe().run(visit.page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


def sign_in(visit, name, password):
    page = visit.open("/sign-in/")
    page.fill("#id_username", name)
    page.fill("#id_password", password)
    with page.expect_navigation(timeout=60_000):
        page.keyboard.press("Enter")
    return page


@pytest.fixture
def visits(chromium, school):
    def at(width):
        return Visit(chromium, school["address"], width=width)

    return at


def test_the_head_goes_through_all_pages_and_puts_a_backup_back(visits, school):
    desk = visits(1280)
    page = sign_in(desk, "mudir", school["head"])
    # Who signs in for the first time is asked for a password of their own.
    assert "/password/" in page.url
    shot(page, "password-1280")
    fair_expect(desk, "password")
    page.fill("#id_password", school["head"])
    for field in ("#id_new", "#id_again"):
        page.fill(field, OWN)
    page.keyboard.press("Enter")
    expect(page.locator(".note.good")).to_be_visible()

    telephone = visits(360)
    sign_in(telephone, "mudir", OWN)
    for name in ("status", "link", "learning", "backup", "diagnosis", "password"):
        for visit, width in ((telephone, 360), (desk, 1280)):
            visit.open(f"/{name}/")
            shot(visit.page, f"{name}-{width}")
            fair_expect(visit, (name, width))

    _cap_set(desk)
    _backup_make(desk, school["stick"])
    telephone.open("/backup/")
    shot(telephone.page, "backup-made-360")
    fair_expect(telephone, "made")
    _backup_restore(desk)
    shot(desk.page, "backup-restored-1280")
    fair_expect(desk, "restored")
    telephone.open("/status/")
    shot(telephone.page, "status-restored-360")
    assert telephone.page.locator("[data-step]").get_attribute("data-step") == "look_after_restore"
    desk.page.get_by_role("button", name="Бале, ҳама чиз дуруст аст").press("Enter")
    expect(desk.page.locator("#settle")).to_have_count(0)
    desk.open("/status/")
    assert desk.page.locator("[data-step]").get_attribute("data-step") == "enrol"


def _cap_set(desk):
    page = desk.open("/link/")
    page.fill("#id_cap_kbit_s", "256")
    page.fill("#id_cap_from", "07:00")
    page.fill("#id_cap_until", "18:00")
    with page.expect_navigation(timeout=60_000):
        page.locator("main form button").press("Enter")
    assert page.input_value("#id_cap_until") == "18:00"


def _backup_make(desk, stick):
    page = desk.open("/backup/")
    assert page.locator("input[name=place]").first.get_attribute("value") == str(stick)
    # By keyboard alone, from the first field on.
    page.focus("#id_passphrase")
    page.keyboard.type(PHRASE)
    page.keyboard.press("Tab")
    page.keyboard.type(PHRASE)
    page.keyboard.press("Enter")
    expect(page.locator("#work")).to_contain_text("пурра аст")
    (file,) = (stick / "soro-backups").glob("*.soro-backup")
    assert page.locator("input[name=file]").get_attribute("value") == str(file)


def _backup_restore(desk):
    page = desk.page
    page.locator("input[name=file]").check()
    page.locator("details summary").filter(has_text="барқарор").press("Enter")
    page.fill("#id_opened", "ибораи дигари махфӣ")
    page.keyboard.press("Enter")
    expect(page.locator("#work .bad")).to_be_visible()
    page.locator("input[name=file]").check()
    page.locator("details summary").filter(has_text="барқарор").press("Enter")
    page.fill("#id_opened", PHRASE)
    page.keyboard.press("Enter")
    # The head is still signed in: sessions are the PC's own.
    expect(page.locator("#settle")).to_be_visible()


def test_a_backup_on_this_pc_is_downloaded_by_the_head_alone(visits, school):
    desk = visits(1280)
    page = sign_in(desk, "mudir", OWN)
    page = desk.open("/backup/")
    page.check("input[name=place][value=here]")
    page.fill("#id_passphrase", PHRASE)
    page.fill("#id_again", PHRASE)
    page.keyboard.press("Enter")
    link = page.locator("a[download]")
    expect(link).to_be_visible()
    with page.expect_download() as begun:
        link.click()
    assert begun.value.path().read_bytes().startswith(b"SOROBAK1")
    address = link.get_attribute("href")
    other = visits(1280)
    sign_in(other, "rahim", school["teacher"])
    assert other.page.request.get(school["address"] + address).status == 403
    guest = visits(360)
    assert "/sign-in/" in guest.page.request.get(school["address"] + address).url


def test_the_status_prints_without_what_paper_cannot_press(visits):
    desk = visits(1280)
    page = sign_in(desk, "mudir", OWN)
    page = desk.open("/status/")
    button = page.locator("[data-print]")
    expect(button).to_be_visible()
    page.emulate_media(media="print")
    expect(button).to_be_hidden()
    expect(page.locator(".top nav")).to_be_hidden()
    expect(page.locator("[data-step]")).to_be_visible()
    shot(page, "status-print")
